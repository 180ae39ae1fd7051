/**
 * A trace as text: one line an event, in order of time, readable in a diff.
 *
 *     clock monotonic 1000000000
 *     track thread 812 "main" of process 811 "app"
 *     0 slice thread 812 "main": +2500 "request" [http] {"path":"/"}
 *     100 slice thread 812 "main": · +300 "parse"
 *
 * Ids do not appear, so a trace that came through a format compares equal to its original. One `·` a slice around it.
 */
import type { StackId, StringId, TrackId } from "../model/sink.ts";
import { type AnyRow, type ArgValue, type Chunk, durationAt, type Trace } from "../model/trace.ts";

export type DumpPart =
  | "clock"
  | "snapshot"
  | "metadata"
  | "track"
  | "slice"
  | "instant"
  | "counter"
  | "sched"
  | "thread_state"
  | "sample"
  | "flow"
  | "life"
  | "log"
  | "problem";

export interface DumpOptions {
  /** Parts left out. */
  readonly without?: readonly DumpPart[];
}

const FLOW_STEP = ["start", "step", "end"];

export function dumpEvents(trace: Trace, options: DumpOptions = {}): string {
  const without = new Set(options.without);
  const header: string[] = [];
  const add = (part: DumpPart, text: string) => {
    if (!without.has(part)) header.push(text === "" ? part : `${part} ${text}`);
  };
  add("clock", `${trace.clock.domain} ${trace.clock.originNs}${plusMinus(trace.clock.errorNs)}`);
  for (const readings of trace.clockSnapshots)
    add("snapshot", readings.map(([domain, ns]) => `${domain}=${ns}`).join(" "));
  for (const key of [...trace.metadata.keys()].sort())
    add("metadata", `${key} = ${quote(trace.metadata.get(key)!)}`);
  if (!without.has("track")) header.push(...trackLines(trace));

  const events: { readonly ts: number; readonly text: string }[] = [];
  const event = (part: DumpPart, track: TrackId, ts: number, text: string) => {
    if (!without.has(part))
      events.push({ ts, text: `${ts} ${part} ${label(trace, track)}: ${text}` });
  };
  for (const row of trace.rows) {
    if (without.has(row.kind)) continue;
    for (const line of rowLines(trace, row)) event(row.kind, row.track, line.ts, line.text);
  }
  const { flows } = trace;
  for (let i = 0; i < flows.length; i++)
    event("flow", flows.track[i] as TrackId, flows.ts[i]!, flowText(trace, i));
  for (const { track, ts, what, detail } of trace.lives)
    event("life", track, ts, `${what} ${quote(trace.strings.get(detail))}`);
  for (const { track, ts, level, message } of trace.logs)
    event("log", track, ts, `${level} ${quote(trace.strings.get(message))}`);
  events.sort((x, y) => x.ts - y.ts || (x.text < y.text ? -1 : x.text > y.text ? 1 : 0));

  const problems = trace.problems.map(
    ({ kind, message, count, cpu, from, to }) =>
      `problem ${kind}${optional("count", count)}${optional("cpu", cpu)}${optional("from", from)}${optional("to", to)}: ${message}`,
  );
  return [
    ...header,
    ...events.map(({ text }) => text),
    ...(without.has("problem") ? [] : problems),
    "",
  ].join("\n");
}

/** Tracks with events, and those above them. */
function trackLines(trace: Trace): string[] {
  const used = new Set<TrackId>();
  const use = (track: TrackId | undefined) => {
    for (let at = track; at !== undefined && !used.has(at); at = trace.tracks[at]?.parent)
      used.add(at);
  };
  for (const row of trace.rows) if (row.length > 0) use(row.track);
  for (const { track } of trace.lives) use(track);
  for (const { track } of trace.logs) use(track);
  for (let i = 0; i < trace.flows.length; i++) use(trace.flows.track[i] as TrackId);
  const lines = [...used].map((track) => {
    const info = trace.tracks[track]!;
    const parent = info.parent === undefined ? "" : ` of ${label(trace, info.parent)}`;
    const own = parent !== "" && standsAlone(info.kind) ? parent : "";
    return `track ${label(trace, track)}${own}${optional("parentPid", info.parentPid)}${optional("unit", info.unit)}${optional("sortIndex", info.sortIndex)}`;
  });
  return lines.sort();
}

function standsAlone(kind: string): boolean {
  return kind === "thread" || kind === "process" || kind === "cpu" || kind === "host";
}

function label(trace: Trace, track: TrackId): string {
  const info = trace.tracks[track];
  if (info === undefined) return `track ${track}`;
  const name = quote(trace.trackName(track));
  if (info.kind === "cpu") return `cpu ${info.cpu ?? "?"}`;
  if (info.kind === "thread") return `thread ${info.tid ?? "?"} ${name}`;
  if (info.kind === "process") return `process ${info.pid ?? "?"} ${name}`;
  const parent = info.parent === undefined ? "" : `${label(trace, info.parent)} / `;
  return `${parent}${info.kind} ${name}`;
}

function* rowLines(trace: Trace, row: AnyRow): Generator<{ ts: number; text: string }> {
  const text = (id: number) => trace.strings.get(id as StringId);
  const category = (id: number) => (id === 0 ? "" : ` [${text(id)}]`);
  const named = (chunk: Chunk & { category: Uint32Array; args: Int32Array }, i: number) =>
    `${quote(text(chunk.key[i]!))}${category(chunk.category[i]!)}${argsText(trace, chunk.args[i]!)}`;
  switch (row.kind) {
    case "slice":
      for (const chunk of row.chunks)
        for (let i = 0; i < chunk.length; i++)
          yield at(chunk, i, `${"· ".repeat(chunk.depth[i]!)}${plus(chunk, i)} ${named(chunk, i)}`);
      return;
    case "instant":
      for (const chunk of row.chunks)
        for (let i = 0; i < chunk.length; i++)
          yield at(chunk, i, `${chunk.type[i] ? "typed " : ""}${named(chunk, i)}`);
      return;
    case "counter":
      for (const chunk of row.chunks)
        for (let i = 0; i < chunk.length; i++) yield at(chunk, i, `= ${chunk.value[i]}`);
      return;
    case "sched":
      for (const chunk of row.chunks)
        for (let i = 0; i < chunk.length; i++)
          yield at(
            chunk,
            i,
            `${plus(chunk, i)} ${label(trace, chunk.key[i] as TrackId)} priority ${chunk.priority[i]} end ${text(chunk.endState[i]!) || "?"}`,
          );
      return;
    case "thread_state":
      for (const chunk of row.chunks)
        for (let i = 0; i < chunk.length; i++) {
          const cpu = chunk.cpu[i]! < 0 ? "" : ` cpu ${chunk.cpu[i]}`;
          const waker = chunk.waker[i]!;
          const by = waker < 0 ? "" : ` by ${label(trace, waker as TrackId)}`;
          yield at(chunk, i, `${plus(chunk, i)} ${text(chunk.key[i]!)}${cpu}${by}`);
        }
      return;
    case "sample":
      for (const chunk of row.chunks)
        for (let i = 0; i < chunk.length; i++)
          yield at(
            chunk,
            i,
            `${chunk.weight[i]} ns cpu ${chunk.cpu[i]}: ${stackText(trace, (chunk.key[i]! - 1) as StackId)}`,
          );
  }
}

function at(chunk: Chunk, i: number, text: string): { ts: number; text: string } {
  return { ts: chunk.ts[i]!, text };
}

function plus(chunk: Chunk, i: number): string {
  const dur = durationAt(chunk, i);
  return Number.isNaN(dur) ? "open" : `+${dur}`;
}

/** Outermost frame first. */
function stackText(trace: Trace, stack: StackId): string {
  const frames: string[] = [];
  for (let node: number = stack; node >= 0; node = trace.stacks.parent[node]!) {
    const frame = trace.frames[trace.stacks.frame[node]!]!;
    const { name, file, line, module, buildId, address, inlined } = frame;
    frames.push(
      [
        quote(name),
        file === undefined ? "" : `${file}:${line ?? "?"}`,
        module === undefined ? "" : `(${module})`,
        buildId === undefined ? "" : `build ${buildId}`,
        address === undefined ? "" : `0x${address.toString(16)}`,
        inlined ? "inlined" : "",
      ]
        .filter((part) => part !== "")
        .join(" "),
    );
  }
  return frames.reverse().join(" > ") || "no stack";
}

function flowText(trace: Trace, i: number): string {
  const { flows } = trace;
  const step = `${FLOW_STEP[flows.step[i]!]} ${flows.id[i]}`;
  const event = flows.event[i]!;
  if (event < 0) return `${step} unbound`;
  const found = trace.locate(event as never);
  if (found === undefined) return `${step} to a lost event`;
  const row = trace.rows[found.row]!;
  const chunk = row.chunks[found.index >>> 16]!;
  const index = found.index & 0xffff;
  return `${step} → ${row.kind} ${quote(trace.strings.get(chunk.key[index] as StringId))} at ${chunk.ts[index]}`;
}

function argsText(trace: Trace, set: number): string {
  return set < 0 ? "" : ` ${valueText(trace.args.object(set as never))}`;
}

function valueText(value: ArgValue): string {
  if (typeof value === "bigint") return `${value}`;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : `${value}`;
  if (typeof value === "string") return quote(value);
  if (typeof value === "boolean") return `${value}`;
  if (value instanceof Uint8Array)
    return `bytes(${Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("")})`;
  if (Array.isArray(value)) return `[${value.map(valueText).join(",")}]`;
  const members = Object.entries(value as { readonly [key: string]: ArgValue });
  return `{${members.map(([key, member]) => `${quote(key)}:${valueText(member)}`).join(",")}}`;
}

function quote(text: string): string {
  return JSON.stringify(text);
}
function optional(name: string, value: string | number | undefined): string {
  return value === undefined ? "" : ` ${name} ${value}`;
}
function plusMinus(ns: number): string {
  return ns === 0 ? "" : ` ± ${ns}`;
}
