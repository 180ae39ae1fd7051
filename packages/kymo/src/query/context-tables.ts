/** The tables about the events' surroundings: who, where, and what went wrong. Some thousand rows each. */
import type { Trace, TrackId } from "@kymo/trace";
import { type ArgColumns, leafText, leafType, leafTypes } from "./arg-columns.ts";
import {
  bigints,
  booleans,
  type Column,
  doubles,
  int32,
  integers,
  negative,
  onePart,
  ordinal,
  rowsTable,
  type TableSnapshot,
  textByCode,
  texts,
} from "./column.ts";
import type { TrackIds } from "./track-ids.ts";

/** Absolute ns on the trace's clock. */
function absolute(trace: Trace, ns: number | undefined): bigint | undefined {
  if (ns === undefined || !Number.isFinite(ns)) return undefined;
  return trace.clock.originNs + BigInt(Math.floor(ns));
}

type Track = Trace["tracks"][number];
interface TrackRow {
  readonly id: number;
  readonly info: Track;
  readonly name: string;
}
function tracksOf(trace: Trace, kind?: Track["kind"]): TrackRow[] {
  const rows = trace.tracks.map((info, id) => ({ id, info, name: trace.trackName(id as TrackId) }));
  return kind === undefined ? rows : rows.filter((row) => row.info.kind === kind);
}

export function trackTable(trace: Trace, ids: TrackIds): TableSnapshot {
  return rowsTable<TrackRow>(
    [
      integers("id", (row) => row.id),
      texts("name", (row) => row.name),
      texts("type", (row) => row.info.kind),
      integers("parent_id", (row) => row.info.parent),
      integers("utid", (row) => ids.threadOf(row.id)),
      integers("upid", (row) => ids.processOf(row.id)),
      integers("cpu", (row) => row.info.cpu),
      texts("unit", (row) => row.info.unit),
    ],
    () => tracksOf(trace),
  );
}

export function threadTable(trace: Trace, ids: TrackIds): TableSnapshot {
  const life = (row: TrackRow): ReturnType<Trace["lifetime"]> => trace.lifetime(row.id as TrackId);
  return rowsTable<TrackRow>(
    [
      integers("utid", (row) => row.id),
      integers("tid", (row) => row.info.tid),
      texts("name", (row) => row.name),
      integers("upid", (row) => ids.processOf(row.id)),
      bigints("start_ts", (row) => absolute(trace, life(row).startNs)),
      bigints("end_ts", (row) => absolute(trace, life(row).endNs)),
      booleans("is_main_thread", (row) => {
        const process = ids.processOf(row.id);
        const pid =
          row.info.pid ?? (process === undefined ? undefined : trace.tracks[process]?.pid);
        return pid === undefined || row.info.tid === undefined ? undefined : pid === row.info.tid;
      }),
    ],
    () => tracksOf(trace, "thread"),
  );
}

export function processTable(trace: Trace, ids: TrackIds): TableSnapshot {
  interface ProcessRow extends TrackRow {
    readonly startNs: number | undefined;
    readonly endNs: number | undefined;
  }
  return rowsTable<ProcessRow>(
    [
      integers("upid", (row) => row.id),
      integers("pid", (row) => row.info.pid),
      texts("name", (row) => row.name),
      integers("parent_upid", (row) =>
        row.info.parentPid === undefined ? undefined : ids.processByPid(row.info.parentPid, row.id),
      ),
      integers("parent_pid", (row) => row.info.parentPid),
      bigints("start_ts", (row) => absolute(trace, row.startNs)),
      bigints("end_ts", (row) => absolute(trace, row.endNs)),
    ],
    () => {
      const threads = new Map<number, TrackRow[]>();
      for (const row of tracksOf(trace, "thread")) {
        const process = ids.processOf(row.id);
        if (process === undefined) continue;
        const known = threads.get(process);
        if (known === undefined) threads.set(process, [row]);
        else known.push(row);
      }
      return tracksOf(trace, "process").map((row) => ({
        ...row,
        ...processLifetime(trace, row, threads.get(row.id) ?? []),
      }));
    },
  );
}

/** A process starts with its main thread and ends with the last of its threads. */
function processLifetime(
  trace: Trace,
  process: TrackRow,
  threads: readonly TrackRow[],
): { startNs: number | undefined; endNs: number | undefined } {
  const own = trace.lifetime(process.id as TrackId);
  const main = threads.find((row) => row.info.tid === process.info.pid);
  const startNs =
    own.startNs ?? (main === undefined ? undefined : trace.lifetime(main.id as TrackId).startNs);
  const ends = threads.map((row) => trace.lifetime(row.id as TrackId).endNs);
  const allEnded = ends.length > 0 && ends.every((end) => end !== undefined);
  return { startNs, endNs: own.endNs ?? (allEnded ? Math.max(...(ends as number[])) : undefined) };
}

export function stackFrameTable(trace: Trace): TableSnapshot {
  interface Stacks {
    readonly length: number;
    readonly parent: Int32Array;
    readonly frame: Int32Array;
    readonly depth: Int32Array;
  }
  const { frames } = trace;
  const text = (name: string, get: (frame: (typeof frames)[number]) => string | undefined) =>
    byFrame<Stacks>(name, "text", (out, at, frame) => {
      const value = get(frames[frame]!);
      if (value === undefined) out.setNull(at);
      else out.texts[at] = value;
    });
  return onePart<Stacks>(
    [
      ordinal("id", () => 0),
      int32("parent_id", (part) => part.parent, negative),
      int32("depth", (part) => part.depth),
      int32("frame_id", (part) => part.frame),
      textByCode(
        "name",
        { length: frames.length, get: (code) => frames[code]!.name },
        (part) => part.frame,
      ),
      text("module", (frame) => frame.module),
      text("file", (frame) => frame.file),
      byFrame("line", "integer", (out, at, frame) => {
        const { line } = frames[frame]!;
        if (line === undefined) out.setNull(at);
        else out.int32[at] = line;
      }),
      // Kernel addresses have the top bit set: hex text keeps them whole and readable.
      text("address", ({ address }) =>
        address === undefined ? undefined : `0x${address.toString(16)}`,
      ),
      text("build_id", (frame) => frame.buildId),
      byFrame("inlined", "boolean", (out, at, frame) => {
        out.uint8[at] = frames[frame]!.inlined ? 1 : 0;
      }),
    ],
    () => {
      const { length, parent, frame } = trace.stacks;
      const depth = new Int32Array(length);
      for (let i = 0; i < length; i++) depth[i] = parent[i]! < 0 ? 0 : depth[parent[i]!]! + 1;
      return { length, parent, frame, depth };
    },
    (part) => part.length,
  );
}
function byFrame<Part extends { readonly frame: Int32Array }>(
  name: string,
  type: Column<Part>["type"],
  set: (out: Parameters<Column<Part>["fill"]>[0], at: number, frame: number) => void,
): Column<Part> {
  const fill: Column<Part>["fill"] = (out, part, from, count, at) => {
    for (let i = 0; i < count; i++) set(out, at + i, part.frame[from + i]!);
  };
  return { name, type, fill };
}

export function argsTable(args: () => ArgColumns): TableSnapshot {
  const leaf = (
    name: string,
    type: Column<ArgColumns>["type"],
    set: (
      out: Parameters<Column<ArgColumns>["fill"]>[0],
      at: number,
      args: ArgColumns,
      leaf: number,
    ) => void,
  ): Column<ArgColumns> => ({
    name,
    type,
    fill: (out, part, from, count, at) => {
      for (let i = 0; i < count; i++) set(out, at + i, part, from + i);
    },
  });
  return onePart<ArgColumns>(
    [
      int32("arg_set_id", (part) => part.set),
      // What an array member's key is without its place: "headers[0].name" → "headers.name".
      keyColumn("flat_key", args, ({ keys }, code) => keys[code]!.replace(/\[\d+\]/g, "")),
      keyColumn("key", args, ({ keys }, code) => keys[code]!),
      textByCode(
        "value_type",
        { length: leafTypes.length, get: (code) => valueTypes[leafTypes[code]!] },
        (part) => part.type,
      ),
      leaf("int_value", "bigint", (out, at, part, i) => {
        const type = leafType(part, i);
        const exact = part.bigints.get(i);
        if (type !== "int" && type !== "bool") out.setNull(at);
        else if (exact === undefined) out.setBigint(at, part.number[i]!);
        else if (BigInt.asIntN(64, exact) === exact) out.int64[at] = exact;
        else out.setNull(at);
      }),
      leaf("real_value", "double", (out, at, part, i) => {
        if (leafType(part, i) === "real") out.float64[at] = part.number[i]!;
        else out.setNull(at);
      }),
      textByCode(
        "string_value",
        {
          get length() {
            return args().texts.length;
          },
          get: (code) => args().texts[code]!,
        },
        (part) => part.text,
        0,
      ),
      leaf("bytes_value", "blob", (out, at, part, i) => {
        const bytes = part.blobs.get(i);
        if (bytes === undefined) out.setNull(at);
        else out.blobs[at] = bytes;
      }),
      leaf("display_value", "text", (out, at, part, i) => {
        out.texts[at] = leafText(part, i);
      }),
    ],
    args,
    (part) => part.length,
  );
}

const valueTypes = {
  int: "int",
  real: "real",
  text: "string",
  bool: "bool",
  bytes: "bytes",
} as const;

/** A column of the leaves' keys as `get` shows them. */
function keyColumn(
  name: string,
  args: () => ArgColumns,
  get: (args: ArgColumns, code: number) => string,
): Column<ArgColumns> {
  const source = {
    get length() {
      return args().keys.length;
    },
    get: (code: number) => get(args(), code),
  };
  return textByCode(name, source, (part) => part.key);
}

const flowSteps = ["start", "step", "end"] as const;
interface FlowRow {
  readonly flow: bigint;
  readonly track: number;
  readonly ts: number;
  readonly step: number;
  /** −1: not bound. */
  readonly event: number;
}
function flowRows(trace: Trace): FlowRow[] {
  const { length, id, track, ts, step, event } = trace.flows;
  return Array.from({ length }, (_, i) => ({
    flow: id[i]!,
    track: track[i]!,
    ts: ts[i]!,
    step: step[i]!,
    event: event[i]!,
  }));
}

/** Each place a flow passes. */
export function flowStepTable(trace: Trace): TableSnapshot {
  return rowsTable<FlowRow>(
    [
      bigints("flow_id", (row) => BigInt.asIntN(64, row.flow)),
      bigints("ts", (row) => absolute(trace, row.ts)),
      integers("track_id", (row) => row.track),
      texts("step", (row) => flowSteps[row.step]),
      bigints("slice_id", (row) => (row.event < 0 ? undefined : row.event)),
    ],
    () => flowRows(trace),
  );
}

/** Each arrow: from one bound place of a flow to the next in time. An `end` closes the chain; its id may be used again. */
export function flowTable(trace: Trace): TableSnapshot {
  interface Arrow {
    readonly out: FlowRow;
    readonly in: FlowRow;
  }
  return rowsTable<Arrow>(
    [
      bigints("id", (_, index) => index),
      bigints("slice_out", (row) => row.out.event),
      bigints("slice_in", (row) => row.in.event),
      bigints("trace_id", (row) => BigInt.asIntN(64, row.out.flow)),
      bigints("ts_out", (row) => absolute(trace, row.out.ts)),
      bigints("ts_in", (row) => absolute(trace, row.in.ts)),
    ],
    () => {
      const arrows: Arrow[] = [];
      const open = new Map<bigint, FlowRow>();
      const rows = flowRows(trace).filter((row) => row.event >= 0);
      // Array sorts are stable: equal times keep arrival order.
      for (const row of rows.sort((a, b) => a.ts - b.ts)) {
        const before = open.get(row.flow);
        if (before !== undefined && row.step !== 0) arrows.push({ out: before, in: row });
        if (row.step === 2) open.delete(row.flow);
        else open.set(row.flow, row);
      }
      return arrows;
    },
  );
}

export function logTable(trace: Trace, ids: TrackIds): TableSnapshot {
  return rowsTable<Trace["logs"][number]>(
    [
      bigints("id", (_, index) => index),
      bigints("ts", (row) => absolute(trace, row.ts)),
      integers("track_id", (row) => row.track),
      integers("utid", (row) => ids.threadOf(row.track)),
      texts("level", (row) => row.level),
      texts("message", (row) => trace.strings.get(row.message)),
    ],
    () => trace.logs.slice(),
  );
}

export function lifeTable(trace: Trace, ids: TrackIds): TableSnapshot {
  return rowsTable<Trace["lives"][number]>(
    [
      bigints("ts", (row) => absolute(trace, row.ts)),
      integers("utid", (row) => row.track),
      integers("upid", (row) => ids.processOf(row.track)),
      texts("what", (row) => row.what),
      texts("detail", (row) => trace.strings.get(row.detail)),
    ],
    () => trace.lives.slice(),
  );
}

export function problemTable(trace: Trace): TableSnapshot {
  return rowsTable<Trace["problems"][number]>(
    [
      texts("kind", (row) => row.kind),
      texts("message", (row) => row.message),
      bigints("count", (row) => row.count),
      integers("cpu", (row) => row.cpu),
      bigints("from_ts", (row) => absolute(trace, row.from)),
      bigints("to_ts", (row) => absolute(trace, row.to)),
      bigints("byte_offset", (row) => row.byteOffset),
    ],
    () => trace.problems.slice(),
  );
}

export function metadataTable(trace: Trace): TableSnapshot {
  return rowsTable<readonly [string, string]>(
    [
      texts("name", ([name]) => name),
      texts("str_value", ([, value]) => value),
      bigints("int_value", ([, value]) => (/^-?\d{1,18}$/.test(value) ? BigInt(value) : undefined)),
    ],
    () => [...trace.metadata],
  );
}

export function clockSnapshotTable(trace: Trace): TableSnapshot {
  interface Reading {
    readonly snapshot: number;
    readonly ts: bigint | undefined;
    readonly clock: string;
    readonly value: bigint;
  }
  return rowsTable<Reading>(
    [
      integers("snapshot_id", (row) => row.snapshot),
      bigints("ts", (row) => row.ts),
      texts("clock_name", (row) => row.clock),
      bigints("clock_value", (row) => row.value),
    ],
    () =>
      trace.clockSnapshots.flatMap((readings, snapshot) => {
        const ts = readings.find(([clock]) => clock === trace.clock.domain)?.[1];
        return readings.map(([clock, value]) => ({ snapshot, ts, clock, value }));
      }),
  );
}

/** First start and last end; no row for an empty trace. */
export function boundsTable(trace: Trace): TableSnapshot {
  return rowsTable<Trace>(
    [
      bigints("start_ts", () => absolute(trace, trace.fromNs)),
      bigints("end_ts", () => absolute(trace, trace.toNs)),
    ],
    () => (trace.fromNs <= trace.toNs ? [trace] : []),
  );
}

/** Where the CPU time of a window went, by stack: what a flame graph draws. Only stacks that were seen. */
export function flameTable(
  trace: Trace,
  fromTs: bigint | null,
  toTs: bigint | null,
): TableSnapshot {
  interface Node {
    readonly id: number;
    readonly self: number;
    readonly total: number;
    readonly samples: number;
  }
  const frameOf = (row: Node): Trace["frames"][number] =>
    trace.frames[trace.stacks.frame[row.id]!]!;
  return rowsTable<Node>(
    [
      integers("id", (row) => row.id),
      integers("parent_id", (row) => {
        const parent = trace.stacks.parent[row.id]!;
        return parent < 0 ? undefined : parent;
      }),
      texts("name", (row) => frameOf(row).name),
      texts("module", (row) => frameOf(row).module),
      doubles("self_ns", (row) => row.self),
      doubles("total_ns", (row) => row.total),
      bigints("samples", (row) => row.samples),
    ],
    () => {
      const from =
        fromTs === null ? Number.NEGATIVE_INFINITY : Number(fromTs - trace.clock.originNs);
      const to = toTs === null ? Number.POSITIVE_INFINITY : Number(toTs - trace.clock.originNs);
      const { length, parent } = trace.stacks;
      const self = new Float64Array(length);
      const total = new Float64Array(length);
      const samples = new Float64Array(length);
      for (const row of trace.rows) {
        if (row.kind !== "sample") continue;
        for (const chunk of row.chunks)
          for (let i = 0; i < chunk.length; i++) {
            const stack = chunk.key[i]! - 1;
            if (stack < 0 || chunk.ts[i]! < from || chunk.ts[i]! >= to) continue;
            self[stack]! += chunk.weight[i]!;
            samples[stack]! += 1;
          }
      }
      /** Samples of the node and of all below it. */
      const seen = new Float64Array(samples);
      total.set(self);
      // A caller's id is smaller than its callees'.
      for (let id = length - 1; id >= 0; id--) {
        const caller = parent[id]!;
        if (caller < 0) continue;
        total[caller]! += total[id]!;
        seen[caller]! += seen[id]!;
      }
      const nodes: Node[] = [];
      for (let id = 0; id < length; id++)
        if (seen[id]! > 0)
          nodes.push({ id, self: self[id]!, total: total[id]!, samples: samples[id]! });
      return nodes;
    },
  );
}
