/** Probe records made by hand, for tests: what a program would write for a site, and a capture to decode them in. */
import type { TrackId } from "@kymo/trace";
import type { Site } from "../../bpf/site.ts";
import type { Libc } from "../../linux/libc.ts";
import type { TaskStatus } from "../../linux/proc.ts";
import type { CaptureContext } from "../perf/extra.ts";
import { LineSink } from "../perf/line-sink.ts";
import { originNs } from "../perf/synthetic.ts";
import { Tasks } from "../perf/tasks.ts";
import type { ProbeRequest } from "./request.ts";

export interface RecordTask {
  readonly tid: number;
  /** ns since the origin. */
  readonly ts: number;
}

/** A record of `site`: `fill` writes its fields. */
export function probeRecord(
  site: Pick<Site, "id" | "bytes">,
  { tid, ts }: RecordTask,
  fill: (record: DataView, bytes: Uint8Array) => void = () => {},
): Uint8Array {
  const bytes = new Uint8Array(site.bytes);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, site.id, true);
  view.setUint32(4, tid, true);
  view.setBigUint64(8, originNs + BigInt(ts), true);
  fill(view, bytes);
  return bytes;
}

export function request(sites: readonly Site[], more: Partial<ProbeRequest> = {}): ProbeRequest {
  return {
    sites,
    eventTypes: [],
    aggregations: [],
    ringFd: -1,
    ringBytes: 4096,
    lossesFd: -1,
    maps: new Map(),
    ...more,
  };
}

export interface TestCapture {
  readonly context: CaptureContext;
  readonly sink: LineSink;
}

/** A capture without a kernel: two CPUs, tasks from a list, addresses named after themselves. */
export function testCapture(
  tasks: readonly TaskStatus[] = [],
  libc: Partial<Libc> = {},
): TestCapture {
  const sink = new LineSink();
  const host = sink.track({ kind: "host", name: "host" });
  const cpus = new Map<number, TrackId>(
    [0, 1].map((cpu) => [cpu, sink.track({ kind: "cpu", name: `cpu${cpu}`, cpu })]),
  );
  const byTid = new Map(tasks.map((task) => [task.tid, task]));
  return {
    sink,
    context: {
      libc: libc as Libc,
      sink,
      originNs,
      host,
      cpus,
      tasks: new Tasks(sink, { host, readTask: (tid) => byTid.get(tid) }),
      symbols: {
        prepare() {},
        literal: () => undefined,
        frame: (pid, ip, kernel) => ({ name: `${kernel ? "k" : `u${pid}:`}${ip.toString(16)}` }),
      },
    },
  };
}
