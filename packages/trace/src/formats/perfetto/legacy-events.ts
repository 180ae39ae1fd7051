/** TrackEvents that carry a phase of Chrome's trace event format. */
import type { ArgSetId, FlowStep, Ns, StringId, TrackId } from "../../model/sink.ts";
import { ProtoReader } from "../../wire/protobuf-reader.ts";
import type { ReaderContext } from "./context.ts";
import type { Machine } from "./machine.ts";
import { LegacyEvent } from "./records.ts";

export interface LegacyInput {
  readonly bytes: Uint8Array;
  readonly from: number;
  readonly to: number;
  readonly ts: Ns;
  readonly at: number;
  /** The event's name; the argument is the legacy message's own iid. */
  readonly name: (iid: number) => StringId;
  readonly nameText: (iid: number) => string;
  readonly category: StringId;
  readonly args: ArgSetId;
  readonly pid: number;
  readonly tid: number;
  readonly machine: Machine;
  readonly record: (use: (track: TrackId) => void) => void;
}

const MAX_ASYNC_TRACKS = 1 << 20;
const FlowDirection = { in: 1, out: 2, both: 3 } as const;

export class LegacyEvents {
  private readonly context: ReaderContext;
  private readonly message = new ProtoReader();
  private readonly asyncTracks = new Map<string, TrackId>();
  private readonly begun = new Set<bigint>();

  constructor(context: ReaderContext) {
    this.context = context;
  }

  read(input: LegacyInput): void {
    const { sink } = this.context;
    const { ts, category, args, machine } = input;
    const legacy = this.message.over(input.bytes, input.from, input.to);
    let nameIid = 0;
    let phase = 0;
    let durationUs = 0;
    let id: string | undefined;
    let scope = "";
    let bindId: bigint | undefined;
    let enclosing = false;
    let direction = 0;
    let pid = input.pid;
    let tid = input.tid;
    let overridden = false;
    let flowId = 0n;
    while (legacy.next())
      switch (legacy.field) {
        case LegacyEvent.nameIid:
          nameIid = legacy.number();
          break;
        case LegacyEvent.phase:
          phase = legacy.int32();
          break;
        case LegacyEvent.durationUs:
          durationUs = legacy.signed();
          break;
        case LegacyEvent.unscopedId:
        case LegacyEvent.globalId:
          flowId = legacy.unsigned();
          id = `g${flowId}`;
          break;
        case LegacyEvent.localId:
          flowId = legacy.unsigned();
          id = `p${pid}.${flowId}`;
          break;
        case LegacyEvent.idScope:
          scope = legacy.text();
          break;
        case LegacyEvent.bindId:
          bindId = legacy.unsigned();
          break;
        case LegacyEvent.bindToEnclosing:
          enclosing = legacy.bool();
          break;
        case LegacyEvent.flowDirection:
          direction = legacy.number();
          break;
        case LegacyEvent.pidOverride:
          pid = legacy.int32();
          overridden = true;
          break;
        case LegacyEvent.tidOverride:
          tid = legacy.int32();
          overridden = true;
          break;
      }
    const name = input.name(nameIid);
    const record =
      overridden && tid > 0
        ? (use: (track: TrackId) => void) =>
            use(machine.thread(tid, input.at, "", pid > 0 ? pid : undefined).track)
        : input.record;
    const letter = phase > 0 && phase < 128 ? String.fromCharCode(phase) : "";
    switch (letter) {
      case "B":
        record((track) => sink.begin(track, ts, name, category, args));
        break;
      case "E":
        record((track) => sink.end(track, ts, args));
        break;
      case "X":
        record((track) => sink.slice(track, ts, (durationUs * 1000) as Ns, name, category, args));
        break;
      case "I":
      case "i":
      case "R":
        record((track) => sink.instant(track, ts, name, category, args));
        break;
      case "b":
      case "S":
        sink.begin(
          this.asyncTrack(id, scope, category, input.nameText(nameIid), pid, machine),
          ts,
          name,
          category,
          args,
        );
        return;
      case "e":
      case "F":
        sink.end(
          this.asyncTrack(id, scope, category, input.nameText(nameIid), pid, machine),
          ts,
          args,
        );
        return;
      case "n":
      case "T":
      case "p":
        sink.instant(
          this.asyncTrack(id, scope, category, input.nameText(nameIid), pid, machine),
          ts,
          name,
          category,
          args,
        );
        return;
      case "s":
      case "t":
      case "f": {
        const step: FlowStep = letter === "s" ? "start" : letter === "t" ? "step" : "end";
        const bind = letter === "f" && !enclosing ? "next" : "enclosing";
        record((track) => sink.flow(flowId, track, ts, step, bind));
        return;
      }
      default:
        this.context.count("unsupported", `legacy events of phase ${letter || phase} are not read`);
        return;
    }
    if (bindId !== undefined && direction !== 0) this.flow(bindId, direction, ts, record);
  }

  /** Version 2 flows: the event itself says that a flow comes in or goes out. */
  private flow(
    id: bigint,
    direction: number,
    ts: Ns,
    record: (use: (track: TrackId) => void) => void,
  ): void {
    let step: FlowStep = "end";
    if (direction !== FlowDirection.in) {
      step = this.begun.has(id) ? "step" : "start";
      if (this.begun.size < MAX_ASYNC_TRACKS) this.begun.add(id);
    }
    record((track) => this.context.sink.flow(id, track, ts, step, "last"));
  }

  /** Async events of one (category, id) share a track. */
  private asyncTrack(
    id: string | undefined,
    scope: string,
    category: StringId,
    name: string,
    pid: number,
    machine: Machine,
  ): TrackId {
    const key = `${id ?? ""} ${scope} ${category}`;
    let track = this.asyncTracks.get(key);
    if (track === undefined) {
      const named = { kind: "async", name } as const;
      track = this.context.sink.track(
        pid >= 0 ? { ...named, parent: machine.process(pid).track } : named,
      );
      if (this.asyncTracks.size < MAX_ASYNC_TRACKS) this.asyncTracks.set(key, track);
    }
    return track;
  }
}
