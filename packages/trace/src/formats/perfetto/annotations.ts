/** DebugAnnotations → argument sets, and the plain values of kymo's own events. */
import type { ArgSetId, ArgsBuilder, StringId, TraceSink } from "../../model/sink.ts";
import { ProtoReader } from "../../wire/protobuf-reader.ts";
import { fromHex } from "./args.ts";
import type { ReaderContext } from "./context.ts";
import { KymoArg } from "./kymo.ts";
import { DebugAnnotation, NestedType, NestedValue } from "./records.ts";
import type { Sequence } from "./sequence.ts";

/** Annotations nested deeper are left out. */
const MAX_DEPTH = 48;

type Plain = number | bigint | string | boolean;

export class Annotations {
  private readonly context: ReaderContext;
  private readonly sink: TraceSink;
  private readonly args: ArgsBuilder;
  /** One cursor for each depth; the extra one scans ahead. */
  private readonly cursors: ProtoReader[] = [];
  private readonly ahead = new ProtoReader();
  /** Annotations of ours that were met, not given to the sink. */
  isOpen = false;
  flowSteps = 0n;
  private depth = 0;
  private started = false;

  constructor(context: ReaderContext) {
    this.context = context;
    this.sink = context.sink;
    this.args = context.sink.args;
  }

  /** Forgets what `isOpen` and `flowSteps` said. */
  restart(): void {
    this.isOpen = false;
    this.flowSteps = 0n;
  }

  private open(key: StringId, isDict: boolean): void {
    this.args.open(key, isDict ? "object" : "array");
    this.depth++;
    this.started = true;
  }
  private close(): void {
    this.args.close();
    this.depth--;
  }

  /** Finishes the set. */
  done(): ArgSetId {
    this.started = false;
    return this.args.done();
  }

  /** Drops a set that damage left half built. */
  abandon(): void {
    while (this.depth > 0) this.close();
    if (this.started) this.done();
  }

  /** Adds the annotation in `[start, stop)` to the set being built. @returns whether the set has grown */
  add(
    sequence: Sequence,
    bytes: Uint8Array,
    start: number,
    stop: number,
    depth = 0,
    inArray = false,
  ): boolean {
    if (depth >= MAX_DEPTH) {
      this.context.count("malformed", `arguments nested deeper than ${MAX_DEPTH} are left out`);
      return false;
    }
    this.started = true;
    const cursor = this.cursor(depth).over(bytes, start, stop);
    let name = "";
    let nameId: StringId | -1 = inArray ? (0 as StringId) : -1;
    let value = 0;
    let valueStart = 0;
    let valueStop = 0;
    let hasDict = false;
    let hasArray = false;
    // The name may follow the value: look first.
    while (cursor.next()) {
      const { field } = cursor;
      if (field === DebugAnnotation.nameIid) {
        const id = sequence.argNames.get(cursor.number());
        if (!inArray) nameId = this.context.defined(id, "argument names");
        if (sequence.isKymo) name = this.context.textOf(id);
      } else if (field === DebugAnnotation.name) {
        name = cursor.text();
        if (!inArray) nameId = this.sink.string(name);
      } else if (field === DebugAnnotation.dictEntries) hasDict = true;
      else if (field === DebugAnnotation.arrayValues) hasArray = true;
      else if (isValue(field)) {
        value = field;
        valueStart = cursor.start;
        valueStop = cursor.stop;
        this.ahead.wire = cursor.wire;
        this.ahead.low = cursor.low;
        this.ahead.high = cursor.high;
      } else this.context.count("unsupported", `arguments of field ${field} are not read`);
    }
    const key = (nameId < 0 ? 0 : nameId) as StringId;
    if (hasDict || hasArray) {
      if (hasDict && sequence.isKymo && this.hexBytes(bytes, start, stop, depth, key)) return true;
      this.open(key, hasDict);
      const members = hasDict ? DebugAnnotation.dictEntries : DebugAnnotation.arrayValues;
      cursor.over(bytes, start, stop);
      while (cursor.next())
        if (cursor.field === members)
          this.add(sequence, bytes, cursor.start, cursor.stop, depth + 1, !hasDict);
      this.close();
      return true;
    }
    const scalar = this.ahead;
    switch (value) {
      case DebugAnnotation.boolValue:
        if (sequence.isKymo && depth === 0 && name === KymoArg.open) {
          this.isOpen = true;
          return false;
        }
        this.args.bool(key, scalar.bool());
        return true;
      case DebugAnnotation.intValue:
        if (sequence.isKymo && depth === 0 && name === KymoArg.flowSteps) {
          this.flowSteps = scalar.unsigned();
          return false;
        }
        this.args.int(key, scalar.integer());
        return true;
      case DebugAnnotation.uintValue:
      case DebugAnnotation.pointerValue:
        this.args.int(key, scalar.natural());
        return true;
      case DebugAnnotation.doubleValue:
        this.args.real(key, scalar.double());
        return true;
      case DebugAnnotation.stringValueIid: {
        const entry = sequence.argTexts.get(scalar.number());
        this.args.text(key, this.context.defined(entry, "argument texts"));
        return true;
      }
      case DebugAnnotation.nestedValue:
        this.nested(bytes, valueStart, valueStop, key, depth);
        return true;
      case DebugAnnotation.stringValue:
      case DebugAnnotation.legacyJsonValue: {
        const text = cursor.over(bytes, valueStart, valueStop);
        text.wire = 2;
        text.start = valueStart;
        text.stop = valueStop;
        const said = text.text();
        if (value === DebugAnnotation.legacyJsonValue && /^-?\d{1,1000}$/.test(said))
          this.args.int(key, BigInt(said));
        else this.args.text(key, this.sink.string(said));
        return true;
      }
      default:
        return false;
    }
  }

  /** A dictionary of one entry that stands for bytes. */
  private hexBytes(
    bytes: Uint8Array,
    start: number,
    stop: number,
    depth: number,
    key: StringId,
  ): boolean {
    if (depth + 1 >= MAX_DEPTH) return false;
    const cursor = this.cursor(depth).over(bytes, start, stop);
    while (cursor.next()) {
      if (cursor.field !== DebugAnnotation.dictEntries) continue;
      const entry = this.cursor(depth + 1).into(cursor);
      let name = "";
      let text = "";
      while (entry.next())
        if (entry.field === DebugAnnotation.name) name = entry.text();
        else if (entry.field === DebugAnnotation.stringValue) text = entry.text();
      if (name !== KymoArg.bytes) return false;
      const value = fromHex(text);
      if (value === undefined) return false;
      this.args.bytes(key, value);
      return true;
    }
    return false;
  }

  /** The older way to say objects and arrays. */
  private nested(
    bytes: Uint8Array,
    start: number,
    stop: number,
    key: StringId,
    depth: number,
  ): void {
    if (depth >= MAX_DEPTH) {
      this.context.count("malformed", `arguments nested deeper than ${MAX_DEPTH} are left out`);
      return;
    }
    const cursor = new ProtoReader().over(bytes, start, stop);
    let type = 0;
    const keys: StringId[] = [];
    const ranges: [number, number][] = [];
    while (cursor.next())
      switch (cursor.field) {
        case NestedValue.nestedType:
          type = cursor.number();
          break;
        case NestedValue.dictKeys:
          keys.push(this.sink.string(cursor.text()));
          break;
        case NestedValue.dictValues:
        case NestedValue.arrayValues:
          ranges.push([cursor.start, cursor.stop]);
          break;
        case NestedValue.intValue:
          this.args.int(key, cursor.integer());
          return;
        case NestedValue.doubleValue:
          this.args.real(key, cursor.double());
          return;
        case NestedValue.boolValue:
          this.args.bool(key, cursor.bool());
          return;
        case NestedValue.stringValue:
          this.args.text(key, this.sink.string(cursor.text()));
          return;
      }
    const isDict = type === NestedType.dict;
    this.open(key, isDict);
    ranges.forEach(([from, to], i) => {
      this.nested(
        bytes,
        from,
        to,
        isDict ? (keys[i] ?? (0 as StringId)) : (0 as StringId),
        depth + 1,
      );
    });
    this.close();
  }

  /** One annotation of an event of kymo's own, by name. */
  plain(
    sequence: Sequence,
    bytes: Uint8Array,
    start: number,
    stop: number,
    into: Map<string, Plain>,
  ): void {
    const cursor = this.cursor(0).over(bytes, start, stop);
    let name = "";
    let value: Plain | undefined;
    while (cursor.next())
      switch (cursor.field) {
        case DebugAnnotation.nameIid:
          name = this.context.textOf(sequence.argNames.get(cursor.number()));
          break;
        case DebugAnnotation.boolValue:
          value = cursor.bool();
          break;
        case DebugAnnotation.intValue:
          value = cursor.integer();
          break;
        case DebugAnnotation.uintValue:
          value = cursor.natural();
          break;
        case DebugAnnotation.doubleValue:
          value = cursor.double();
          break;
        case DebugAnnotation.stringValue:
          value = cursor.text();
          break;
      }
    if (value !== undefined) into.set(name, value);
  }

  private cursor(depth: number): ProtoReader {
    let cursor = this.cursors[depth];
    if (cursor === undefined) {
      cursor = new ProtoReader();
      this.cursors[depth] = cursor;
    }
    return cursor;
  }
}

function isValue(field: number): boolean {
  return (
    (field >= DebugAnnotation.boolValue && field <= DebugAnnotation.legacyJsonValue) ||
    field === DebugAnnotation.stringValueIid
  );
}
