/** Argument sets: built before the event that carries them, written into it as DebugAnnotations. */
import {
  type ArgSetId,
  type ArgsBuilder,
  NO_ARGS,
  RECENT_ARG_SETS,
  type StringId,
} from "../../model/sink.ts";
import type { ProtoWriter } from "../../wire/protobuf.ts";
import { KymoArg } from "./kymo.ts";
import { DebugAnnotation, NestedType, NestedValue, TrackEvent } from "./records.ts";
import type { TextInterner, Texts } from "./strings.ts";

/** Sets kept for events still to come. */
export const KEPT_SETS: number = RECENT_ARG_SETS;
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;
/** Longer texts are written where they stand: interning them would keep them for one use. */
const INTERN_TEXT_LENGTH = 1024;

const Op = { int: 0, real: 1, text: 2, bool: 3, bytes: 4, object: 5, array: 6, close: 7 } as const;
/** Op, key and value of each step, flat. */
type Steps = (number | bigint | boolean | Uint8Array)[];

export class ArgSets implements ArgsBuilder {
  private readonly kept: (Steps | undefined)[] = [];
  private count = 0;
  private steps: Steps = [];
  private depth = 0;

  int(key: StringId, value: number | bigint): void {
    this.steps.push(Op.int, key, value);
  }
  real(key: StringId, value: number): void {
    this.steps.push(Op.real, key, value);
  }
  text(key: StringId, value: StringId): void {
    this.steps.push(Op.text, key, value);
  }
  bool(key: StringId, value: boolean): void {
    this.steps.push(Op.bool, key, value);
  }
  bytes(key: StringId, value: Uint8Array): void {
    this.steps.push(Op.bytes, key, value.slice());
  }
  open(key: StringId, kind: "object" | "array"): void {
    this.depth++;
    this.steps.push(kind === "object" ? Op.object : Op.array, key, 0);
  }
  close(): void {
    if (this.depth === 0) throw new RangeError("args.close() without args.open()");
    this.depth--;
    this.steps.push(Op.close, 0, 0);
  }
  done(): ArgSetId {
    while (this.depth > 0) this.close();
    if (this.steps.length === 0) return NO_ARGS;
    const id = this.count++;
    this.kept[id % KEPT_SETS] = this.steps;
    this.steps = [];
    return id as ArgSetId;
  }

  /** @throws RangeError for a set that was forgotten or never built */
  get(id: ArgSetId): Steps {
    const steps =
      id < this.count && id >= this.count - KEPT_SETS ? this.kept[id % KEPT_SETS] : undefined;
    if (steps === undefined)
      throw new RangeError(
        `argument set ${id} is not kept: an event must use its set before ${KEPT_SETS} others are built (${this.count} were)`,
      );
    return steps;
  }
}

/** What annotations need of the section they are written in. */
export interface AnnotationContext {
  readonly section: number;
  readonly texts: Texts;
  readonly names: TextInterner;
  readonly values: TextInterner;
}

const openMessages: number[] = [];
const openInArray: boolean[] = [];

/** Appends `steps` to the TrackEvent that is open in `out`. */
export function writeAnnotations(out: ProtoWriter, steps: Steps, context: AnnotationContext): void {
  const { names, values, section, texts } = context;
  let field: number = TrackEvent.debugAnnotations;
  let named = true;
  let depth = 0;
  for (let i = 0; i < steps.length; i += 3) {
    const op = steps[i] as number;
    if (op === Op.close) {
      // An empty dictionary or array has no entries to tell which it is: say so.
      const start = openMessages[--depth]!;
      if (steps[i - 3] === Op.object || steps[i - 3] === Op.array) {
        const nested = out.open(DebugAnnotation.nestedValue);
        const isDict = steps[i - 3] === Op.object;
        out.uint(NestedValue.nestedType, isDict ? NestedType.dict : NestedType.array);
        out.close(nested);
      }
      out.close(start);
      if (depth === 0) {
        field = TrackEvent.debugAnnotations;
        named = true;
      } else {
        const inArray = openInArray[depth - 1]!;
        field = inArray ? DebugAnnotation.arrayValues : DebugAnnotation.dictEntries;
        named = !inArray;
      }
      continue;
    }
    const start = out.open(field);
    if (named) out.uint(DebugAnnotation.nameIid, names.iid(steps[i + 1] as StringId, section));
    const value = steps[i + 2]!;
    switch (op) {
      case Op.int:
        writeInteger(out, value as number | bigint);
        break;
      case Op.real:
        out.double(DebugAnnotation.doubleValue, value as number);
        break;
      case Op.text: {
        const text = texts.get(value as StringId);
        if (text.length > INTERN_TEXT_LENGTH) out.string(DebugAnnotation.stringValue, text);
        else out.uint(DebugAnnotation.stringValueIid, values.iid(value as StringId, section));
        break;
      }
      case Op.bool:
        out.uint(DebugAnnotation.boolValue, value === true ? 1 : 0);
        break;
      case Op.bytes: {
        const entry = out.open(DebugAnnotation.dictEntries);
        out.string(DebugAnnotation.name, KymoArg.bytes);
        out.string(DebugAnnotation.stringValue, hex(value as Uint8Array));
        out.close(entry);
        break;
      }
      default: {
        const inArray = op === Op.array;
        openMessages[depth] = start;
        openInArray[depth++] = inArray;
        field = inArray ? DebugAnnotation.arrayValues : DebugAnnotation.dictEntries;
        named = !inArray;
        continue;
      }
    }
    out.close(start);
  }
}

/** Any integer, exactly: int64, else uint64, else its decimal text as JSON. */
export function writeInteger(out: ProtoWriter, value: number | bigint): void {
  if (typeof value === "number" && Number.isSafeInteger(value)) {
    out.int(DebugAnnotation.intValue, value);
    return;
  }
  if (typeof value === "number" && !Number.isFinite(value)) {
    out.double(DebugAnnotation.doubleValue, value);
    return;
  }
  const whole = typeof value === "bigint" ? value : BigInt(Math.trunc(value));
  if (whole >= INT64_MIN && whole <= INT64_MAX) out.big(DebugAnnotation.intValue, whole);
  else if (whole > 0n && whole <= UINT64_MAX) out.big(DebugAnnotation.uintValue, whole);
  else out.string(DebugAnnotation.legacyJsonValue, whole.toString());
}

export function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += (byte < 16 ? "0" : "") + byte.toString(16);
  return text;
}
/** @returns undefined when `text` is not pairs of lower-case hex digits */
export function fromHex(text: string): Uint8Array | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-f]*$/.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++)
    bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
