/** Perf samples and streaming profiles → samples of threads. */
import { NO_STACK, type TrackId } from "../../model/sink.ts";
import type { ProtoReader } from "../../wire/protobuf-reader.ts";
import type { ReaderContext } from "./context.ts";
import type { Machine } from "./machine.ts";
import { PerfSample, StreamingProfilePacket } from "./records.ts";
import type { Sequence } from "./sequence.ts";
import type { Stacks } from "./stacks.ts";

export class Samples {
  private readonly context: ReaderContext;
  private readonly stacks: Stacks;

  constructor(context: ReaderContext, stacks: Stacks) {
    this.context = context;
    this.stacks = stacks;
  }

  /** A perf sample. */
  sample(
    message: ProtoReader,
    time: number | undefined,
    sequence: Sequence,
    machine: Machine,
  ): void {
    let cpu = -1;
    let pid = 0;
    let tid = 0;
    let stack = 0;
    let lost = 0;
    let isNote = false;
    while (message.next())
      switch (message.field) {
        case PerfSample.cpu:
          cpu = message.int32();
          break;
        case PerfSample.pid:
          pid = message.int32();
          break;
        case PerfSample.tid:
          tid = message.int32();
          break;
        case PerfSample.callstackIid:
          stack = message.number();
          break;
        case PerfSample.kernelRecordsLost:
          lost = message.number();
          break;
        case PerfSample.sampleSkippedReason:
        case PerfSample.producerEvent:
          isNote = true;
          break;
      }
    if (time === undefined) {
      this.context.count("malformed", "samples without a timestamp");
      return;
    }
    const { sink } = this.context;
    const ts = this.context.ns(time);
    if (lost > 0) {
      const message = "samples were lost: the kernel's buffer was full";
      sink.problem({ kind: "lost-events", message, count: lost, to: ts, ...(cpu >= 0 && { cpu }) });
      return;
    }
    if (isNote) {
      this.context.count("lost-events", "samples that the recorder skipped");
      return;
    }
    // The idle task is no thread.
    if (tid === 0) return;
    const thread: TrackId = machine.thread(tid, time, "", pid > 0 ? pid : undefined).track;
    const id = stack === 0 ? NO_STACK : this.stacks.stack(sequence, stack);
    sink.sample(thread, ts, id, this.weight(sequence), cpu);
  }

  private weight(sequence: Sequence): number {
    if (sequence.sampleWeight > 0 || sequence.isKymo) return sequence.sampleWeight;
    this.context.count("unsupported", "samples whose weight in time is not known count 1 ns each");
    return 1;
  }

  /** Samples as deltas, of the sequence's thread. */
  streaming(
    message: ProtoReader,
    time: number | undefined,
    sequence: Sequence,
    machine: Machine,
    legacyTime: (us: number) => number | undefined,
  ): void {
    const stacks: number[] = [];
    const deltas: number[] = [];
    while (message.next())
      if (message.field === StreamingProfilePacket.callstackIid) stacks.push(message.number());
      else if (message.field === StreamingProfilePacket.timestampDeltaUs)
        deltas.push(message.signed());
    const from = sequence.referenceUs > 0 ? legacyTime(sequence.referenceUs) : time;
    if (from === undefined || sequence.tid < 0) {
      this.context.count("malformed", "streaming profiles without a thread or a time");
      return;
    }
    const { track } = machine.thread(sequence.tid, from, "", sequence.pid);
    let at = from;
    stacks.forEach((stack, i) => {
      const delta = (deltas[i] ?? 0) * 1000;
      at += delta;
      const id = this.stacks.stack(sequence, stack);
      this.context.sink.sample(track, this.context.ns(at), id, Math.max(0, delta), -1);
    });
  }
}
