/**
 * A probe session's ring, losses and aggregations as a part of a running capture.
 */
import type { Ns, TraceSink, TrackId } from "@kymo/trace";
import { Bpf } from "../../bpf/kernel/bpf.ts";
import { BpfRing } from "../../linux/bpf-ring.ts";
import { errnoName } from "../../linux/errno.ts";
import { AttachError } from "../perf/attach.ts";
import type { CaptureContext, ExtraInput } from "../perf/extra.ts";
import type { MergeInput } from "../perf/merge.ts";
import { Aggregations } from "./aggregate.ts";
import { BpfDecoder, type DecoderOptions } from "./decode.ts";
import { Losses } from "./losses.ts";
import { type ProbeCost, type ProbeRequest, probeCostPrefix } from "./request.ts";
import { keyedTrackLimit } from "./tracks.ts";

export interface InputOptions extends DecoderOptions {
  /** Aggregations become counters on the timeline. */
  readonly drawn: boolean;
  /** Tables and histograms of the aggregations, at the end; their periods, as they end. */
  onReport?(lines: readonly string[]): void;
}

export class BpfInput implements ExtraInput {
  readonly source: BpfRing;
  readonly time: MergeInput["time"];
  readonly handle: MergeInput["handle"];
  readonly #sink: TraceSink;
  readonly #host: TrackId;
  readonly #options: InputOptions;
  readonly #decoder: BpfDecoder;
  readonly #losses: Losses;
  readonly #aggregations: Aggregations;
  readonly #costTracks = new Map<string, TrackId>();

  /** @throws AttachError when the ring cannot be mapped. */
  constructor(context: CaptureContext, request: ProbeRequest, options: InputOptions) {
    const ring = BpfRing.map(context.libc, request.ringFd, request.ringBytes);
    if (typeof ring === "number")
      throw new AttachError(
        `mmap(the probes' ring of ${request.ringBytes} bytes): ${errnoName(-ring)}`,
      );
    this.source = ring;
    this.#sink = context.sink;
    this.#host = context.host;
    this.#options = options;
    const decoder = new BpfDecoder(context, request, options);
    this.#decoder = decoder;
    this.time = (source, hi, lo) => decoder.time(source, hi, lo);
    this.handle = (source, ts) => decoder.record(source, ts);
    const bpf = new Bpf(context.libc);
    this.#losses = new Losses(bpf, context.sink, request.lossesFd, request.sites);
    this.#aggregations = new Aggregations(context, request, decoder.pastValues, {
      drawn: options.drawn,
      tell: (lines) => options.onReport?.(lines),
    });
  }

  get events(): number {
    return this.#decoder.events;
  }
  get lost(): number {
    return this.#losses.total;
  }

  round(ts: Ns): void {
    this.#decoder.round(ts);
    this.#losses.round(ts);
    this.#aggregations.round(ts);
  }

  finish(ts: Ns): void {
    this.#losses.read(ts);
    const { malformed, beyondTrackLimit, unreadableNames } = this.#decoder;
    const { unknownMarks, unknownMark } = this.#decoder;
    if (malformed > 0)
      this.#sink.problem({
        kind: "malformed",
        count: malformed,
        message:
          "probe records were skipped: a slice that ends before it starts, or of unknown shape",
      });
    if (beyondTrackLimit > 0)
      this.#sink.problem({
        kind: "unsupported",
        count: beyondTrackLimit,
        message: `events of tracks by key are together on one track: ${keyedTrackLimit} keys have their own`,
      });
    if (unreadableNames > 0)
      this.#sink.problem({
        kind: "unsupported",
        count: unreadableNames,
        message:
          "names could not be read: their page was not in memory, and the process had ended when it was looked at",
      });
    if (unknownMarks > 0)
      this.#sink.problem({
        kind: "malformed",
        count: unknownMarks,
        message: `begin like a mark and are none: ${JSON.stringify(unknownMark)}; see docs/events-from-any-language.md`,
      });
    for (const lines of this.#aggregations.finish(ts)) this.#options.onReport?.(lines);
  }

  /** What the probes' programs have cost so far: a counter each, and for `kymo info`. */
  cost(ts: Ns, costs: readonly ProbeCost[]): void {
    for (const { label, runs, ns } of costs) {
      let track = this.#costTracks.get(label);
      if (track === undefined) {
        track = this.#sink.track({
          kind: "counter",
          name: `kymo probe time ${label}`,
          parent: this.#host,
          unit: "ns",
        });
        this.#costTracks.set(label, track);
      }
      this.#sink.counter(track, ts, ns);
      this.#sink.metadata(`${probeCostPrefix}${label}`, JSON.stringify({ runs, ns }));
    }
  }

  close(): void {
    this.source.unmap();
  }
}
