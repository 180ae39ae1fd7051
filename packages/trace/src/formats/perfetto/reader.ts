/**
 * A Perfetto trace (protobuf) → trace events.
 *
 *     bytes ─► Framing ─► packet ─┬ sequence: cleared?, defaults, interned data
 *                                 ├ time: Clocks
 *                                 └ data: TrackEvents · FtraceReader · tracks, processes · samples
 *
 * Packets come in the file's order, which is not that of time: the sink sorts. What ftrace says of threads waits until
 * a process tree has said which process they belong to, or until enough has been held back.
 */
import type { Ns, TraceSink } from "../../model/sink.ts";
import { ProtoError, ProtoReader } from "../../wire/protobuf-reader.ts";
import type { StreamReader } from "../format.ts";
import { type ClockReading, Clocks } from "./clocks.ts";
import { ReaderContext } from "./context.ts";
import { readProcess, readProcessTree, readSystemInfo, readThread } from "./descriptors.ts";
import { expand } from "./expand.ts";
import { Framing } from "./framing.ts";
import { type BundleSource, FtraceReader } from "./ftrace.ts";
import { clockDomain } from "./kymo.ts";
import { Machine } from "./machine.ts";
import { PacketFields } from "./packet-fields.ts";
import { BuiltinClock, Clock, ClockSnapshot, Trace, TracePacket } from "./records.ts";
import { Samples } from "./samples.ts";
import { Sequence } from "./sequence.ts";
import { Stacks } from "./stacks.ts";
import { TrackEvents } from "./track-events.ts";
import { TrackTable } from "./track-table.ts";

const MAX_SEQUENCES = 1 << 16;
const MAX_MACHINES = 256;
/** Ftrace bundles held back while no process tree has come. */
const MAX_HELD_BYTES = 24 * 1024 * 1024;
const MAX_COMPRESSION_DEPTH = 2;
/** Timestamps up to here are exact as they are; beyond, the trace gets an origin of its own. */
const EXACT_NS = 2n ** 52n;
const HOUR_NS = 3_600_000_000_000n;
const TWO_32 = 2 ** 32;

/** Packets without anything to show: recorder's notes. */
const QUIET: ReadonlySet<number> = new Set([
  TracePacket.traceConfig,
  TracePacket.traceStats,
  TracePacket.ftraceStats,
  TracePacket.synchronizationMarker,
  TracePacket.traceUuid,
  TracePacket.serviceEvent,
  TracePacket.extensionDescriptor,
  TracePacket.uiState,
  TracePacket.rangeOfInterest,
  TracePacket.cpuInfo,
]);

export class PerfettoReader implements StreamReader {
  private readonly context: ReaderContext;
  private readonly framing: Framing;
  private readonly clocks = new Clocks();
  private readonly sequences = new Map<number, Sequence>();
  private lastSequence: Sequence | undefined;
  private readonly machines = new Map<number, Machine>();
  private readonly tracks: TrackTable;
  private readonly samples: Samples;
  private readonly trackEvents: TrackEvents;
  private readonly ftrace: FtraceReader;
  private readonly fields = new PacketFields();
  private readonly inner = new ProtoReader();
  private readonly nested = new ProtoReader();
  private held: BundleSource[] = [];
  private heldBytes = 0;
  private sawTree = false;
  private compressionDepth = 0;

  constructor(sink: TraceSink) {
    this.context = new ReaderContext(sink);
    this.context.onFirstTime = () => this.start();
    this.tracks = new TrackTable(this.context);
    const stacks = new Stacks(this.context);
    this.samples = new Samples(this.context, stacks);
    this.trackEvents = new TrackEvents(this.context, this.tracks, stacks);
    this.ftrace = new FtraceReader(this.context, this.clocks);
    this.framing = new Framing({
      packet: (bytes, from, to, offset) => this.packet(bytes, from, to, offset),
      damaged: (offset, message) =>
        sink.problem({
          kind: "malformed",
          message: `${message}; the rest of the file was not read`,
          byteOffset: offset,
        }),
    });
  }

  push(chunk: Uint8Array): void {
    this.framing.push(chunk);
  }

  end(): void {
    const cut = this.framing.end();
    this.trackEvents.flush();
    this.releaseHeld();
    this.tracks.end();
    if (this.context.shift === undefined) this.start();
    if (cut !== undefined)
      this.context.sink.problem({
        kind: "truncated",
        message: `the last packet is cut short: ${cut.left} bytes of it are there`,
        byteOffset: cut.offset,
      });
    this.context.report();
    this.context.sink.watermark(Infinity as Ns);
  }

  // ── Packets ───────────────────────────────────────────────────────────────────────────────────

  private packet(bytes: Uint8Array, from: number, to: number, offset: number): void {
    this.context.offset = offset;
    try {
      this.readPacket(bytes, from, to);
    } catch (error) {
      if (!(error instanceof ProtoError)) throw error;
      this.trackEvents.abandon();
      this.context.count(
        "malformed",
        `packets that are no valid protobuf (first: ${error.message})`,
      );
    }
  }

  private readPacket(bytes: Uint8Array, from: number, to: number): void {
    // A compressed packet is read to its end before what is inside it is read into the same fields.
    const { fields } = this;
    fields.read(bytes, from, to);
    const { sequenceId, kind, start, stop, hasTime, clock } = fields;
    if (fields.unknown !== 0)
      this.context.count("unsupported", `packets' field ${fields.unknown} is not read`);
    const sequence = this.sequence(sequenceId);
    if (fields.cleared) {
      if (sequence.isKymo) this.trackEvents.flush();
      sequence.clear();
    }
    // A sequence's first packet is always marked so: nothing is known to be missing then.
    else if (fields.dropped && sequence.seen && !fields.first) {
      sequence.valid = false;
      this.context.count("lost-events", "packets were dropped by the recorder");
    }
    sequence.seen = true;
    if (fields.defaultsStart >= 0)
      sequence.defaults(this.inner.over(bytes, fields.defaultsStart, fields.defaultsStop));
    if (fields.internedStart >= 0) {
      const left = sequence.intern(
        this.inner.over(bytes, fields.internedStart, fields.internedStop),
      );
      if (left > 0) this.context.count("malformed", "interned entries beyond the limit", left);
    }
    if (kind === 0) return;
    if (fields.needsState && !sequence.valid) {
      this.context.count(
        "lost-events",
        "packets skipped because what they refer to was lost before them",
      );
      return;
    }
    if (kind === TracePacket.clockSnapshot) {
      this.clockSnapshot(bytes, start, stop, sequence);
      return;
    }
    let time: number | undefined;
    if (hasTime) {
      time = this.clocks.time(
        sequenceId,
        clock !== 0 ? clock : sequence.clock,
        fields.timeHigh,
        fields.timeLow,
      );
      if (time === undefined) {
        this.context.count(
          "clock",
          `packets on clock ${clock !== 0 ? clock : sequence.clock}, which no snapshot relates to the trace's`,
        );
        return;
      }
    }
    this.dispatch(kind, bytes, start, stop, time, sequence, this.machine(fields.machineId));
  }

  private dispatch(
    kind: number,
    bytes: Uint8Array,
    from: number,
    to: number,
    time: number | undefined,
    sequence: Sequence,
    machine: Machine,
  ): void {
    switch (kind) {
      case TracePacket.trackEvent:
        if (sequence.isKymo && this.context.shift === undefined)
          this.start(sequence, bytes, from, to);
        this.trackEvents.read(bytes, from, to, time, sequence, machine, this.legacyTime);
        return;
      case TracePacket.trackDescriptor:
        this.trackEvents.flush();
        this.tracks.describe(this.inner.over(bytes, from, to), sequence, machine);
        return;
      case TracePacket.ftraceEvents:
        this.bundle(bytes, from, to, sequence, machine);
        return;
      case TracePacket.processTree:
        this.processTree(this.inner.over(bytes, from, to), sequence, machine);
        return;
      case TracePacket.perfSample:
        this.samples.sample(this.inner.over(bytes, from, to), time, sequence, machine);
        return;
      case TracePacket.streamingProfilePacket:
        this.samples.streaming(
          this.inner.over(bytes, from, to),
          time,
          sequence,
          machine,
          this.legacyTime,
        );
        return;
      case TracePacket.threadDescriptor:
        readThread(this.inner.over(bytes, from, to), sequence, machine);
        return;
      case TracePacket.processDescriptor:
        readProcess(this.inner.over(bytes, from, to), machine);
        return;
      case TracePacket.systemInfo:
        this.systemInfo(this.inner.over(bytes, from, to), sequence);
        return;
      case TracePacket.compressedPackets:
        this.compressed(bytes, from, to);
        return;
      default:
        if (!QUIET.has(kind))
          this.context.count("unsupported", `packets of field ${kind} are not read`);
    }
  }

  private sequence(id: number): Sequence {
    if (this.lastSequence?.id === id) return this.lastSequence;
    let sequence = this.sequences.get(id);
    if (sequence === undefined) {
      sequence = new Sequence(id, this.context.string);
      if (this.sequences.size < MAX_SEQUENCES) this.sequences.set(id, sequence);
    }
    this.lastSequence = sequence;
    return sequence;
  }

  private machine(id: number): Machine {
    let machine = this.machines.get(id);
    if (machine === undefined) {
      const host =
        id === 0 || this.machines.size >= MAX_MACHINES
          ? undefined
          : this.context.sink.track({ kind: "host", name: `machine ${id}` });
      machine = new Machine(this.context, host);
      if (this.machines.size < MAX_MACHINES) this.machines.set(id, machine);
    }
    return machine;
  }

  // ── Time ──────────────────────────────────────────────────────────────────────────────────────

  /** Declares the trace's clock: as kymo's own first event says, or as the file's clocks allow. */
  private start(sequence?: Sequence, bytes?: Uint8Array, from = 0, to = 0): void {
    this.clocks.fixBase();
    const { base } = this.clocks;
    const own = sequence?.isKymo
      ? this.trackEvents.traceEvent(sequence, bytes!, from, to)
      : undefined;
    const originNs = own?.originNs ?? (base < EXACT_NS ? 0n : base - HOUR_NS);
    const domain = own?.domain ?? clockDomain(this.clocks.primary) ?? "unknown";
    this.context.shift = Number(base - originNs);
    this.context.sink.clock({ domain, originNs, errorNs: own?.errorNs ?? 0 });
  }

  private clockSnapshot(bytes: Uint8Array, from: number, to: number, sequence: Sequence): void {
    const snapshot = this.inner.over(bytes, from, to);
    const readings: ClockReading[] = [];
    while (snapshot.next())
      if (snapshot.field === ClockSnapshot.primaryTraceClock)
        this.clocks.setPrimary(snapshot.number());
      else if (snapshot.field === ClockSnapshot.clocks && readings.length < 128) {
        const entry = this.nested.into(snapshot);
        let clock = 0;
        let high = 0;
        let low = 0;
        let incremental = false;
        let multiplier = 1;
        while (entry.next())
          if (entry.field === Clock.clockId) clock = entry.number();
          else if (entry.field === Clock.timestamp) {
            high = entry.high | 0;
            low = entry.low;
          } else if (entry.field === Clock.isIncremental) incremental = entry.bool();
          else if (entry.field === Clock.unitMultiplierNs) multiplier = entry.number() || 1;
        readings.push({ clock, high, low, incremental, multiplier });
      }
    if (!this.clocks.snapshot(sequence.id, readings))
      this.context.count("clock", "clock snapshots without a clock that is related to the trace's");
    // kymo tells its snapshots apart from those that only carry its own clocks.
    if (sequence.isKymo) return;
    const known = readings.flatMap(({ clock, high, low }) => {
      const domain = clockDomain(clock);
      return domain === undefined
        ? []
        : ([[domain, BigInt.asUintN(64, (BigInt(high) << 32n) | BigInt(low))]] as const);
    });
    if (known.length < 2) return;
    this.context.sink.clockSnapshot(known);
  }

  private readonly legacyTime = (us: number): number | undefined => {
    const ns = us * 1000;
    const high = Math.floor(ns / TWO_32);
    return this.clocks.time(0, BuiltinClock.monotonic, high, ns - high * TWO_32);
  };

  // ── Scheduling ────────────────────────────────────────────────────────────────────────────────

  private bundle(
    bytes: Uint8Array,
    from: number,
    to: number,
    sequence: Sequence,
    machine: Machine,
  ): void {
    const isKymo = sequence.isKymo;
    if (isKymo || this.sawTree) {
      this.ftrace.read({ bytes, from, to, sequence, machine, isKymo });
      return;
    }
    this.held.push({
      bytes: bytes.slice(from, to),
      from: 0,
      to: to - from,
      sequence,
      machine,
      isKymo,
    });
    this.heldBytes += to - from;
    if (this.heldBytes > MAX_HELD_BYTES) this.releaseHeld();
  }

  private releaseHeld(): void {
    this.sawTree = true;
    const { held } = this;
    this.held = [];
    for (const source of held)
      try {
        this.ftrace.read(source);
      } catch (error) {
        if (!(error instanceof ProtoError)) throw error;
        this.context.count(
          "malformed",
          `packets that are no valid protobuf (first: ${error.message})`,
        );
      }
  }

  // ── Packets of other kinds ────────────────────────────────────────────────────────────────────

  private processTree(tree: ProtoReader, sequence: Sequence, machine: Machine): void {
    readProcessTree(tree, sequence, machine);
    if (!sequence.isKymo && !this.sawTree) this.releaseHeld();
  }

  private systemInfo(info: ProtoReader, sequence: Sequence): void {
    const { release, arch } = readSystemInfo(info);
    const version = /^(\d+)\.(\d+)/.exec(release);
    if (version !== null)
      this.ftrace.oldStates = Number(version[1]) * 1000 + Number(version[2]) < 4014;
    if (sequence.isKymo) return;
    if (release !== "") this.context.sink.metadata("kernel", release);
    if (arch !== "") this.context.sink.metadata("arch", arch);
  }

  private compressed(bytes: Uint8Array, from: number, to: number): void {
    if (this.compressionDepth >= MAX_COMPRESSION_DEPTH) {
      this.context.count("malformed", "compressed packets nested in compressed packets");
      return;
    }
    const expanded = expand(bytes, from, to);
    if (expanded.problem !== undefined)
      this.context.count(
        "malformed",
        `compressed packets that do not expand (${expanded.problem})`,
      );
    this.compressionDepth++;
    const packets = new ProtoReader().over(expanded.bytes, 0, expanded.bytes.length);
    const { offset } = this.context;
    while (packets.next())
      if (packets.field === Trace.packet && packets.wire === 2)
        this.packet(expanded.bytes, packets.start, packets.stop, offset);
    this.compressionDepth--;
  }
}
