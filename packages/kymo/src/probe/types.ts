/** Types of kymo/probe. */
import type { i64, RawTracepoints, Syscalls, Tracepoints, u64 } from "./index.ts";

/** What the compiler knows and TypeScript doesn't: without generated declarations, every field of an event. */
// biome-ignore lint/suspicious/noExplicitAny: fields are numbers, texts and pointers alike; kymo checks them
export type Untyped = any;

interface Known {
  Tracepoints: Tracepoints;
  Syscalls: Syscalls;
}
export type EventOf<Of extends keyof Known, Name extends string> = Name extends keyof Known[Of]
  ? Known[Of][Name]
  : Untyped;
export type RawArguments<Name extends string> = Name extends keyof RawTracepoints
  ? RawTracepoints[Name] extends readonly unknown[]
    ? RawTracepoints[Name]
    : Untyped[]
  : Untyped[];

declare const kind: unique symbol;
/** Any pointer. */
export interface Ptr {
  readonly [kind]?: "pointer";
}
/** Text that the kernel reads: can be compared (===, startsWith), emitted, stored, not taken apart. */
export type Text = string;

export interface Stack {
  readonly [kind]: "stack";
}
export interface Track {
  readonly [kind]: "track";
}
/** What emission functions give: nothing, but a handler may return it. */
export interface Emitted {
  readonly [kind]: "emitted";
}
/** What args, keys and prints can show. */
export type Shown = Untyped;

/** What it gives is not looked at: `return slice(…)` is slice(…) and return. */
export type Handler<Parameters extends readonly unknown[]> = (...parameters: Parameters) => unknown;

export interface SyscallAttach {
  <Name extends string>(name: Name, handler: Handler<[event: EventOf<"Syscalls", Name>]>): void;
  exit<Name extends string>(
    name: Name,
    handler: Handler<[event: EventOf<"Syscalls", Name> & { readonly ret: i64 }]>,
  ): void;
  span<Name extends string>(name: Name, handler: Handler<[event: EventOf<"Syscalls", Name>]>): void;
}

export type Watched = {
  /** That of `-p` unless said otherwise. */
  readonly pid?: number;
  /** 8, or as many as the variable has. */
  readonly bytes?: 1 | 2 | 4 | 8;
  readonly access?: "write" | "read-write" | "execute";
} & (
  | { readonly address: number | bigint }
  /** A variable that is global or static: "counter", "app::counter", "libfoo:counter". */
  | { readonly symbol: string }
);

export interface MapOptions {
  /** Entries at most. */
  readonly max?: number;
  readonly name?: string;
}
export interface KernelMap<Key, Value> {
  get(key: Key): Value | undefined;
  set(key: Key, value: Value): void;
  /** The value, which is then deleted. */
  take(key: Key): Value | undefined;
  /** Whether there was one. */
  delete(key: Key): boolean;
  has(key: Key): boolean;
  /** Adds, atomically; from 0 when the key is new. */
  increment(key: Key, by?: number): void;
}
export interface ArrayMap<Value> {
  /** undefined outside of the array. */
  get(index: number): Value | undefined;
  set(index: number, value: Value): void;
  increment(index: number, by?: number): void;
}

export interface AggregationOptions {
  readonly name?: string;
  readonly unit?: string;
  /** Names of the key's parts. */
  readonly key?: readonly string[];
  /** Keys at most. */
  readonly max?: number;
  /**
   * A period, in nanoseconds or as "1s": what is added in each is drawn and, on the terminal, told when it ends. Without
   * it, the totals are drawn every second, and told at the end.
   */
  readonly every?: number | string;
}
export interface HistogramOptions extends AggregationOptions {
  readonly from: number;
  readonly to: number;
  readonly width: number;
}
export interface Aggregation<Key> {
  add(value: number): void;
  add(key: Key, value: number): void;
  /** Parts of the key, then the value. */
  add(first: Shown, second: Shown, ...more: readonly Shown[]): void;
}
export interface KeyedAggregation<Key> {
  add(key?: Key): void;
  /** Parts of the key. */
  add(first: Shown, second: Shown, ...more: readonly Shown[]): void;
}

export interface Flow {
  readonly id: number;
  readonly step?: "start" | "step" | "end";
}
export type Args = Readonly<Record<string, Shown>>;
export interface InstantOptions {
  readonly name: Text | undefined;
  /** Of the current thread unless said otherwise. */
  readonly track?: Track;
  readonly category?: string;
  readonly args?: Args;
  readonly flow?: Flow;
}
export interface SliceOptions extends InstantOptions {
  /** As now() gives it. */
  readonly start: u64;
  /** ns; up to now without it. */
  readonly duration?: u64;
}
export interface SpanOptions<Result> extends Omit<InstantOptions, "flow"> {
  /** Args of the return: from the result, or of a system call from `exit.ret`. */
  readonly end?: Args | ((result: Result) => Args);
}
export type EndOptions = Omit<InstantOptions, "name" | "category">;
export interface CounterOptions {
  readonly name: Text;
  readonly value: number;
  readonly unit?: string;
  readonly track?: Track;
}
export interface SwitchOptions {
  readonly previous: number;
  readonly previousPid: number;
  readonly previousName?: Text;
  /** Bits of the kernel's task state; 0: preempted. */
  readonly state: number;
  readonly next: number;
  readonly nextPid: number;
  readonly nextName?: Text;
  readonly priority: number;
}
export interface WakingOptions {
  readonly thread: number;
  readonly targetCpu: number;
  /** Woken from an interrupt: there is no waker. */
  readonly interrupt?: boolean;
}
type FieldType = "int" | "real" | "text" | "bool" | "bytes";
export type FieldTypes = Readonly<Record<string, FieldType | readonly [FieldType, unit: string]>>;
