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
/** Bit of a step: its value is in `objects`. */
const IN_OBJECTS = 0x80;
const INT64_MIN = -(2n ** 63n);
const INT64_MAX = 2n ** 63n - 1n;
const UINT64_MAX = 2n ** 64n - 1n;
/** Longer texts are written where they stand: interning them would keep them for one use. */
const INTERN_TEXT_LENGTH = 1024;

const Op = { int: 0, real: 1, text: 2, bool: 3, bytes: 4, object: 5, array: 6, close: 7 } as const;

/**
 * Steps of many sets, one after the other in flat arrays that are used again and again: a small array for each set costs
 * more to collect than the rest of writing it (an instant with one argument: 250 ns, this way 160).
 */
class StepStore {
  ops: Uint8Array = new Uint8Array(1024);
  keys: Uint32Array = new Uint32Array(1024);
  /** Numbers, ids of strings, or where in `objects` the value is. */
  values: Float64Array = new Float64Array(1024);
  /** What is no number: bigints and bytes. */
  readonly objects: (bigint | Uint8Array)[] = [];
  /** Where each set starts, and where the next one will. */
  readonly starts: Uint32Array = new Uint32Array(KEPT_SETS + 1);
  sets = 0;
  length = 0;

  clear(): void {
    this.objects.length = 0;
    this.sets = 0;
    this.length = 0;
  }

  push(op: number, key: number, value: number): void {
    const at = this.length++;
    if (at === this.ops.length) this.grow();
    this.ops[at] = op;
    this.keys[at] = key;
    this.values[at] = value;
  }

  private grow(): void {
    const { ops, keys, values } = this;
    const capacity = 2 * ops.length;
    this.ops = new Uint8Array(capacity);
    this.keys = new Uint32Array(capacity);
    this.values = new Float64Array(capacity);
    this.ops.set(ops);
    this.keys.set(keys);
    this.values.set(values);
  }
}

/** Steps `from` … `to` − 1 of a store: one set. */
interface Steps {
  store: StepStore;
  from: number;
  to: number;
}

export class ArgSets implements ArgsBuilder {
  /** Two, each for KEPT_SETS sets: when one is full, the older one is forgotten and filled again. */
  private current = new StepStore();
  private older = new StepStore();
  private count = 0;
  private depth = 0;
  private readonly found: Steps = { store: this.current, from: 0, to: 0 };

  int(key: StringId, value: number | bigint): void {
    if (typeof value === "number") this.current.push(Op.int, key, value);
    else this.object(Op.int, key, value);
  }
  real(key: StringId, value: number): void {
    this.current.push(Op.real, key, value);
  }
  text(key: StringId, value: StringId): void {
    this.current.push(Op.text, key, value);
  }
  bool(key: StringId, value: boolean): void {
    this.current.push(Op.bool, key, value ? 1 : 0);
  }
  bytes(key: StringId, value: Uint8Array): void {
    this.object(Op.bytes, key, value.slice());
  }
  open(key: StringId, kind: "object" | "array"): void {
    this.depth++;
    this.current.push(kind === "object" ? Op.object : Op.array, key, 0);
  }
  close(): void {
    if (this.depth === 0) throw new RangeError("args.close() without args.open()");
    this.depth--;
    this.current.push(Op.close, 0, 0);
  }
  private object(op: number, key: StringId, value: bigint | Uint8Array): void {
    this.current.push(op | IN_OBJECTS, key, this.current.objects.push(value) - 1);
  }

  done(): ArgSetId {
    while (this.depth > 0) this.close();
    const store = this.current;
    if (store.length === store.starts[store.sets]) return NO_ARGS;
    store.starts[++store.sets] = store.length;
    if (store.sets === KEPT_SETS) {
      this.current = this.older;
      this.older = store;
      this.current.clear();
    }
    return this.count++ as ArgSetId;
  }

  /** The set's steps, until the next call. @throws RangeError for a set that was forgotten or never built */
  get(id: ArgSetId): Steps {
    const { current, older, found, count } = this;
    const first = count - current.sets;
    found.store = id >= first ? current : older;
    const index = id - (id >= first ? first : first - older.sets);
    if (!(id < count && index >= 0))
      throw new RangeError(
        `argument set ${id} is not kept: an event must use its set before ${KEPT_SETS} others are built (${count} were)`,
      );
    found.from = found.store.starts[index]!;
    found.to = found.store.starts[index + 1]!;
    return found;
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
  const { names, values: interned, section, texts } = context;
  const { from, to } = steps;
  const { ops, keys, values, objects } = steps.store;
  let field: number = TrackEvent.debugAnnotations;
  let named = true;
  let depth = 0;
  for (let i = from; i < to; i++) {
    const op = ops[i]!;
    if (op === Op.close) {
      // An empty dictionary or array has no entries to tell which it is: say so.
      const start = openMessages[--depth]!;
      const opened = ops[i - 1]!;
      if (opened === Op.object || opened === Op.array) {
        const nested = out.open(DebugAnnotation.nestedValue);
        const isDict = opened === Op.object;
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
    if (named) out.uint(DebugAnnotation.nameIid, names.iid(keys[i] as StringId, section));
    const value = values[i]!;
    switch (op) {
      case Op.int:
        writeInteger(out, value);
        break;
      case Op.int | IN_OBJECTS:
        writeInteger(out, objects[value] as bigint);
        break;
      case Op.real:
        out.double(DebugAnnotation.doubleValue, value);
        break;
      case Op.text: {
        const text = texts.get(value as StringId);
        if (text.length > INTERN_TEXT_LENGTH) out.string(DebugAnnotation.stringValue, text);
        else out.uint(DebugAnnotation.stringValueIid, interned.iid(value as StringId, section));
        break;
      }
      case Op.bool:
        out.uint(DebugAnnotation.boolValue, value);
        break;
      case Op.bytes | IN_OBJECTS: {
        const entry = out.open(DebugAnnotation.dictEntries);
        out.string(DebugAnnotation.name, KymoArg.bytes);
        out.string(DebugAnnotation.stringValue, hex(objects[value] as Uint8Array));
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
