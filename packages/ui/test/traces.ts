/** Small traces with known content. */
import { formats, NO_ARGS, NO_STACK, NO_TRACK, type Ns, type TraceSink } from "@kymo/trace";

/** "shop": thread "front" with 20 requests of 2 queries each, thread "worker" with 20 jobs, a counter of 8 values. */
export function chromeTrace(): Uint8Array {
  const events: object[] = [
    { ph: "M", name: "process_name", pid: 10, tid: 10, args: { name: "shop" } },
    { ph: "M", name: "thread_name", pid: 10, tid: 10, args: { name: "front" } },
    { ph: "M", name: "thread_name", pid: 10, tid: 11, args: { name: "worker" } },
  ];
  for (let i = 0; i < 20; i++) {
    const ts = i * 1000;
    const both = { ph: "X", pid: 10, cat: "web" };
    events.push({
      ...both,
      name: "request",
      tid: 10,
      ts,
      dur: 900,
      args: { path: "GET /cart", items: i },
    });
    events.push({ ...both, name: "query", tid: 10, ts: ts + 50, dur: 400 });
    events.push({ ...both, name: "query", tid: 10, ts: ts + 500, dur: 350 });
    events.push({ ...both, name: "job", tid: 11, ts: ts + 100, dur: 600 });
  }
  for (let i = 0; i < 8; i++)
    events.push({ ph: "C", name: "queue", pid: 10, ts: i * 2500, args: { value: i % 5 } });
  const text = `{"traceEvents":[\n${events.map((event) => JSON.stringify(event)).join(",\n")}\n]}`;
  return new TextEncoder().encode(text);
}

/**
 * A recording of two processes on one CPU, 100 ms: "server" (the recorded command) and "noise" take turns, with
 * samples of server and one interval of lost events.
 */
export async function perfettoTrace(): Promise<Uint8Array> {
  const format = formats.find(({ name }) => name === "perfetto");
  if (!format?.writer) throw new Error("no perfetto writer");
  const pieces: Uint8Array[] = [];
  const sink = await format.writer((bytes) => {
    pieces.push(bytes.slice());
  });
  record(sink);
  const whole = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    whole.set(piece, at);
    at += piece.length;
  }
  return whole;
}

function record(sink: TraceSink): void {
  const ms = (value: number) => (value * 1e6) as Ns;
  sink.clock({ domain: "monotonic", originNs: 5_000_000_000n, errorNs: 0 });
  sink.metadata("target.pid", "20");
  sink.metadata("command", "server --fast");
  const cpu = sink.track({ kind: "cpu", name: "CPU 0", cpu: 0 });
  const server = sink.track({ kind: "process", name: "server", pid: 20 });
  const main = sink.track({ kind: "thread", name: "server", parent: server, pid: 20, tid: 20 });
  const noise = sink.track({ kind: "process", name: "noise", pid: 30 });
  const other = sink.track({ kind: "thread", name: "noise", parent: noise, pid: 30, tid: 30 });
  const [sleeping, waiting] = [sink.string("S"), sink.string("D")];
  const outer = sink.stack(NO_STACK, sink.frame({ name: "main", module: "/bin/server" }));
  const inner = sink.stack(outer, sink.frame({ name: "checkout", module: "/bin/server" }));
  const syscall = sink.string("syscall");
  const read = sink.string("read");
  sink.switch(cpu, ms(0), NO_TRACK, sleeping, main, 120);
  sink.slice(main, ms(2), ms(1), read, syscall, NO_ARGS);
  for (let at = 1; at < 30; at++) sink.sample(main, ms(at), at % 3 ? inner : outer, 1e6, 0);
  sink.switch(cpu, ms(30), main, sleeping, other, 120);
  sink.waking(main, ms(45), other, 0);
  sink.switch(cpu, ms(50), other, waiting, main, 120);
  sink.problem({
    kind: "lost-events",
    cpu: 0,
    count: 12,
    from: ms(60),
    to: ms(70),
    message: "the kernel's ring buffer was full",
  });
  sink.switch(cpu, ms(100), main, sleeping, NO_TRACK, 120);
  sink.watermark(ms(100));
  sink.close();
}

/** "pool", the recorded command: "main" is busy, "idle-0" … "idle-8" wake once each; "idle-4" writes a "rare" slice. */
export async function poolTrace(): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const format = formats.find(({ name }) => name === "perfetto");
  const sink = await format!.writer!((bytes) => {
    pieces.push(bytes.slice());
  });
  const ms = (value: number) => (value * 1e6) as Ns;
  sink.clock({ domain: "monotonic", originNs: 5_000_000_000n, errorNs: 0 });
  sink.metadata("target.pid", "20");
  sink.metadata("command", "/usr/local/bin/pool --config=/etc/pool/main.conf");
  const cpu = sink.track({ kind: "cpu", name: "CPU 0", cpu: 0 });
  const pool = sink.track({ kind: "process", name: "pool", pid: 20 });
  const main = sink.track({ kind: "thread", name: "main", parent: pool, pid: 20, tid: 20 });
  const sleeping = sink.string("S");
  const syscall = sink.string("syscall");
  const [read, rare] = [sink.string("read"), sink.string("rare")];
  let last = main;
  sink.switch(cpu, ms(0), NO_TRACK, sleeping, main, 120);
  for (let i = 0; i < 9; i++) {
    const idle = sink.track({
      kind: "thread",
      name: `idle-${i}`,
      parent: pool,
      pid: 20,
      tid: 30 + i,
    });
    const at = 50 + i * 10;
    sink.switch(cpu, ms(at), last, sleeping, idle, 120);
    sink.switch(cpu, ms(at + 0.1), idle, sleeping, main, 120);
    if (i === 4) sink.slice(idle, ms(at + 0.02), ms(0.05), rare, syscall, NO_ARGS);
    last = main;
  }
  sink.switch(cpu, ms(160), main, sleeping, NO_TRACK, 120);
  sink.slice(main, ms(159.9), ms(40.2), read, syscall, NO_ARGS);
  sink.switch(cpu, ms(200), NO_TRACK, sleeping, main, 120);
  sink.switch(cpu, ms(210), main, sleeping, NO_TRACK, 120);
  sink.watermark(ms(210));
  sink.close();
  return Buffer.concat(pieces);
}
