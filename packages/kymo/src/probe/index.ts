/**
 * kymo/probe: TypeScript functions that run in the kernel. What is attached here is compiled by kymo when the file is
 * given to it; run by Node alone, every function of this module throws.
 *
 *     import { now, hash, slice, tid, tracepoint, type u32, type u64 } from "kymo/probe";
 *
 *     const started = hash<u32, u64>();
 *     tracepoint("syscalls:sys_enter_read", () => started.set(tid(), now()));
 *     tracepoint("syscalls:sys_exit_read", (e) => {
 *       const start = started.take(tid());
 *       if (start !== undefined) return slice({ name: "read", start, args: { bytes: e.ret } });
 *     });
 *
 * Arithmetic in handlers is in 64 bits and wraps; a narrower value is extended by its own sign first, and a result is signed
 * when either side is. Whole numbers ≥ 0 that are written out take the other side's sign. x / 0 is 0, x % 0 is x, shifts
 * take the count modulo 64. `x as u8`, a parameter's type, a map's type keep the low bits.
 */
import type {
  Aggregation,
  AggregationOptions,
  ArrayMap,
  CounterOptions,
  Emitted,
  EndOptions,
  EventOf,
  FieldTypes,
  Flow,
  Handler,
  HistogramOptions,
  InstantOptions,
  KernelMap,
  KeyedAggregation,
  MapOptions,
  Ptr,
  RawArguments,
  Shown,
  SliceOptions,
  SpanOptions,
  Stack,
  SwitchOptions,
  SyscallAttach,
  Text,
  Track,
  Untyped,
  WakingOptions,
  Watched,
} from "./types.ts";

export type * from "./types.ts";

// `kymo types` fills these in with what this machine's kernel has; an augmentation sees only what this module itself declares.
/** Events by `category:name`, as objects of their fields. */
// biome-ignore lint/suspicious/noEmptyInterface: augmented by generated declarations
export interface Tracepoints {}
/** Argument tuples by name. */
// biome-ignore lint/suspicious/noEmptyInterface: augmented by generated declarations
export interface RawTracepoints {}
/** Arguments by name of the system call. */
// biome-ignore lint/suspicious/noEmptyInterface: augmented by generated declarations
export interface Syscalls {}
/** Structs of the kernel by name. */
// biome-ignore lint/suspicious/noEmptyInterface: augmented by generated declarations
export interface Structs {}

/** A struct of the kernel, or a pointer to one: both are read with a dot. */
export type Struct<Name extends string> = Name extends keyof Structs ? Structs[Name] : Untyped;
export type ptr<Name extends string = string> = Struct<Name>;
/** NUL-terminated text in memory, up to N bytes in keys and values (64). */
export type cstr<_Bytes extends number = 64> = string;
export type text<_Bytes extends number = 64> = string;
export type bool = boolean;

/** What runs only inside of handlers, or only under kymo. */
function outside(name: string): never {
  throw new Error(`${name}() is kymo's: run this file with \`kymo probe FILE\``);
}

/** Runs the handler at a tracepoint of the kernel: `tracepoint("sched:sched_switch", (e) => …)`. */
export function tracepoint<Name extends string>(
  _name: Name,
  _handler: Handler<[event: EventOf<"Tracepoints", Name>]>,
): void {
  outside("tracepoint");
}

/** As tracepoint, with the arguments that the kernel's code passes, typed by BTF: cheaper, and structs can be walked. */
export function rawTracepoint<Name extends string>(
  _name: Name,
  _handler: Handler<RawArguments<Name>>,
): void {
  outside("rawTracepoint");
}

/** A system call by name; `.exit` with what it returned, `.span` for a slice from entry to return. */
export const syscall: SyscallAttach = Object.assign(
  (_name: string, _handler: Handler<[event: Untyped]>): void => outside("syscall"),
  { exit: () => outside("syscall.exit"), span: () => outside("syscall.span") },
);

/** Every system call: `e.id` is its number (syscallName(e.id) its name). */
export const anySyscall: {
  (handler: Handler<[event: { readonly id: i64; readonly [field: string]: Untyped }]>): void;
  exit(handler: Handler<[event: { readonly id: i64; readonly ret: i64 }]>): void;
  span(handler: Handler<[event: { readonly id: i64; readonly [field: string]: Untyped }]>): void;
} = Object.assign((): void => outside("anySyscall"), {
  exit: () => outside("anySyscall.exit"),
  span: () => outside("anySyscall.span"),
});

/**
 * A function of a program or library is entered: by symbol (mangled or not), glob, offset, or `file:line`. Parameters are what
 * the handler says they are: `(id: i32, what: cstr) => …`.
 */
export function uprobe(_path: string, _where: string | number, _handler: Handler<Untyped[]>): void {
  outside("uprobe");
}
/** A function returns: the handler's parameter is its result. */
export function uretprobe(
  _path: string,
  _where: string | number,
  _handler: Handler<[result: Untyped]>,
): void {
  outside("uretprobe");
}
/** A static probe of a program or library: `usdt("node", "node:gc__start", …)`. */
export function usdt(_path: string, _name: string, _handler: Handler<Untyped[]>): void {
  outside("usdt");
}
/** A function of the kernel is entered. */
export function kprobe(_function: string, _handler: Handler<Untyped[]>): void {
  outside("kprobe");
}
/** A function of the kernel returns. */
export function kretprobe(_function: string, _handler: Handler<[result: Untyped]>): void {
  outside("kretprobe");
}
/** As kprobe, with arguments typed by BTF, and cheaper. */
export function fentry(_function: string, _handler: Handler<Untyped[]>): void {
  outside("fentry");
}
/** As kretprobe: the result first, then the arguments. */
export function fexit(_function: string, _handler: Handler<Untyped[]>): void {
  outside("fexit");
}
/** On every CPU, so many times a second. */
export function profile(_hz: number, _handler: Handler<[]>): void {
  outside("profile");
}
/** Every `period`th event of the hardware or the kernel: `perfEvent("page-faults", 1, …)`. */
export function perfEvent(_name: string, _period: number, _handler: Handler<[]>): void {
  outside("perfEvent");
}
/** Again and again, on one CPU: nanoseconds, or "10ms", "1s". */
export function interval(_every: number | string, _handler: Handler<[]>): void {
  outside("interval");
}
/** Once, before anything else is attached. */
export function begin(_handler: Handler<[]>): void {
  outside("begin");
}
/** Once, when everything is detached. */
export function end(_handler: Handler<[]>): void {
  outside("end");
}
/** Memory of a process is written, read or run: the CPU watches it. */
export function watchpoint(_what: Watched, _handler: Handler<[]>): void {
  outside("watchpoint");
}

/** While the file loads: the number of a system call on this machine; −1 where only others have it. */
export const syscallNumber = (_name: string): number => outside("syscallNumber");
/** While the file loads: the process that is recorded, with its descendants; 0 when everything is. */
export const targetPid = (): number => outside("targetPid");

/** CLOCK_MONOTONIC, ns. */
export const now = (): u64 => outside("now");
/** Of the current process. */
export const pid = (): u32 => outside("pid");
/** Of the current thread. */
export const tid = (): u32 => outside("tid");
export const uid = (): u32 => outside("uid");
export const gid = (): u32 => outside("gid");
/** Number of the current CPU, also its track; `cpu(n)` is the track of CPU n. */
export function cpu(): u32 & Track;
export function cpu(number: u32): Track;
export function cpu(): u32 & Track {
  return outside("cpu");
}
/** Name of the current thread, up to 15 bytes. */
export const comm = (): Text => outside("comm");
/** The parent process of the current one. */
export const ppid = (): u32 => outside("ppid");
/** Id of the current cgroup, of version 2. */
export const cgroup = (): u64 => outside("cgroup");
export const random = (): u32 => outside("random");
/** Saved stacks of up to N frames, in values and keys of maps. */
export type kstack<_Frames extends number = 32> = Stack;
export type ustack<_Frames extends number = 32> = Stack;
/** The kernel's stack of now; up to 127 frames. */
export const kstack = (_frames?: number): Stack => outside("kstack");
/** The program's stack of now; up to 127 frames. */
export const ustack = (_frames?: number): Stack => outside("ustack");
/**
 * Text in the program's memory, up to its NUL and at most `max` bytes (64, up to 4096) with it. The page need not be in
 * memory, as that of a literal nobody has touched: probes of functions wait for it (Linux 6.12), for events of others kymo
 * reads it a moment later, unless `late` is false. As a key, in a map or compared it is empty then.
 */
export const str = (
  _address: Untyped,
  _max?: number,
  _options?: { readonly late?: boolean },
): Text => outside("str");
/** Text in the kernel's memory. */
export const kstr = (_address: Untyped, _max?: number): Text => outside("kstr");
/** So many bytes of memory, as they are. */
export const buf = (_address: Untyped, _bytes: number): Shown => outside("buf");
/** The current task_struct. */
export const task = (): Struct<"task_struct"> => outside("task");
/** The struct at an address: `cast("struct tcp_sock", sk)`. */
export function cast<Name extends string>(_name: Name, _address: Untyped): Struct<BareName<Name>> {
  return outside("cast");
}
type BareName<Name extends string> = Name extends `struct ${infer Bare}` ? Bare : Name;
/** Whole numbers for loops: range(to), range(from, to), range(from, to, step). */
export const range = (_from: number, _to?: number, _step?: number): Iterable<number> =>
  outside("range");
/** The other byte order. */
export const swap16 = (_value: u16): u16 => outside("swap16");
export const swap32 = (_value: u32): u32 => outside("swap32");

/** Numbers by their width; also functions that keep the low bits: `u8(x)`. In Node all are `number`. */
export type i8 = number;
export type i16 = number;
export type i32 = number;
export type i64 = number;
export type u8 = number;
export type u16 = number;
export type u32 = number;
export type u64 = number;
export const i8 = (_value: number | boolean): i8 => outside("i8");
export const i16 = (_value: number | boolean): i16 => outside("i16");
export const i32 = (_value: number | boolean): i32 => outside("i32");
export const i64 = (_value: number | boolean): i64 => outside("i64");
export const u8 = (_value: number | boolean): u8 => outside("u8");
export const u16 = (_value: number | boolean): u16 => outside("u16");
export const u32 = (_value: number | boolean): u32 => outside("u32");
export const u64 = (_value: number | boolean | Ptr): u64 => outside("u64");

/** A table from keys to values: numbers, texts (cstr<N>), tuples, small structs. 10 240 entries unless `max` says so. */
export const hash = <Key, Value>(_options?: MapOptions): KernelMap<Key, Value> => outside("hash");
/** A table for each CPU: nothing is shared, nothing waits. */
export const percpuHash = <Key, Value>(_options?: MapOptions): KernelMap<Key, Value> =>
  outside("percpuHash");
/** A table that forgets what was used least when it is full. */
export const lru = <Key, Value>(_options?: MapOptions): KernelMap<Key, Value> => outside("lru");
/** So many values, zero at first; array<u64>(1).get(0) is a variable. */
export const array = <Value>(_max?: number | MapOptions): ArrayMap<Value> => outside("array");
export const percpuArray = <Value>(_max?: number | MapOptions): ArrayMap<Value> =>
  outside("percpuArray");

/** How often: `calls.add()`, `calls.add(key)`. */
export const count = <Key = Untyped>(_options?: AggregationOptions): KeyedAggregation<Key> =>
  outside("count");
export const sum = <Key = Untyped>(_options?: AggregationOptions): Aggregation<Key> =>
  outside("sum");
export const avg = <Key = Untyped>(_options?: AggregationOptions): Aggregation<Key> =>
  outside("avg");
export const min = <Key = Untyped>(_options?: AggregationOptions): Aggregation<Key> =>
  outside("min");
export const max = <Key = Untyped>(_options?: AggregationOptions): Aggregation<Key> =>
  outside("max");
/** How many values between one power of two and the next. */
export const hist = <Key = Untyped>(_options?: AggregationOptions): Aggregation<Key> =>
  outside("hist");
/** Finer: each power of two in eight, for quantiles known to 1/8. */
export const quantize = <Key = Untyped>(_options?: AggregationOptions): Aggregation<Key> =>
  outside("quantize");
/** How many values in buckets of one width: lhist(0, 100, 10), lhist({ from, to, width, name }). */
export function lhist<Key = Untyped>(options: HistogramOptions): Aggregation<Key>;
export function lhist<Key = Untyped>(
  from: number,
  to: number,
  width: number,
  options?: AggregationOptions,
): Aggregation<Key>;
export function lhist<Key = Untyped>(): Aggregation<Key> {
  return outside("lhist");
}

/** A slice from `start` to now, or of `duration`. */
export const slice = (_options: SliceOptions): Emitted => outside("slice");
/** A slice from here to where the function or system call returns: in uprobe, syscall.span, anySyscall.span. */
export const span = <Result = Untyped>(_options: SpanOptions<Result>): Emitted => outside("span");
/** A slice begins on its track; endSlice ends the innermost. */
export const beginSlice = (_options: InstantOptions): Emitted => outside("beginSlice");
export const endSlice = (_options?: EndOptions): Emitted => outside("endSlice");
export const instant = (_options: InstantOptions): Emitted => outside("instant");
/** On the track of the process unless `track` says otherwise. */
export const counter = (_options: CounterOptions): Emitted => outside("counter");
/** A step of a flow at the innermost open slice of a track, the thread's unless `track` says otherwise. */
export const flow = (_options: Flow & { readonly track?: Track }): Emitted => outside("flow");
/** What the text says, on the current thread: `kymo:start:NAME` and its like; nothing for any other text. */
export const mark = (_text: Text): Emitted => outside("mark");
/** The thread's stacks, as a CPU sample: kernel and user unless `stacks` says otherwise. */
export const sample = (_options?: {
  readonly stacks?: readonly Stack[];
  /** ns */
  readonly weight?: number;
}): Emitted => outside("sample");
/** A line on the terminal: print`read ${e.ret} bytes`. */
export const print = (_pieces: TemplateStringsArray, ..._values: readonly Shown[]): Emitted =>
  outside("print");
/** One thread gave a CPU to another: for probes of the scheduler. */
export const schedSwitch = (_options: SwitchOptions): Emitted => outside("schedSwitch");
export const schedWaking = (_options: WakingOptions): Emitted => outside("schedWaking");

/** Declares a kind of event with a table of its own: `const packet = eventType("packet", { len: ["int", "bytes"] })`. */
export const eventType = <Fields extends FieldTypes>(
  _name: string,
  _fields: Fields,
): ((values: { readonly [Name in keyof Fields]?: Shown }, track?: Track) => Emitted) =>
  outside("eventType");

/** The current thread's track, or that of thread `tid`. */
export const thread = (_tid?: u32): Track => outside("thread");
/** The current process's track, or that of process `pid`. */
export const process = (_pid?: u32): Track => outside("process");
/** A track by name; with a key, one for each key. */
export const track = (_name: string, ..._key: readonly Shown[]): Track => outside("track");

/** Numbers shown by name: ENOENT of −2, openat of 257, SIGKILL of 9, the function at an address. */
export const errnoOf = (_value: number): Text => outside("errnoOf");
export const syscallName = (_id: number): Text => outside("syscallName");
export const signalName = (_signal: number): Text => outside("signalName");
export const symbol = (_address: Untyped): Text => outside("symbol");
/** An IPv4 or IPv6 address in memory, or a u32 in network order. */
export const address = (_bytes: Untyped): Text => outside("address");
/** A value with its unit: args: { size: unit(e.ret, "bytes") }. */
export const unit = <Value>(_value: Value, _unit: string): Value => outside("unit");
