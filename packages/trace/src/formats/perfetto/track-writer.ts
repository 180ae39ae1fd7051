/** The sink's tracks, and their descriptors: once a section, and again when a tid or CPU number changes hands. */
import type { TrackId, TrackInfo } from "../../model/sink.ts";
import { FIRST_TRACK_UUID } from "./kymo.ts";
import type { Packets } from "./packets.ts";
import { ProcessTree, TracePacket, TreeProcess } from "./records.ts";
import { hasTreeEntry, TrackState, writeDescriptor } from "./tracks.ts";

/** A thread that runs: null is the idle task. */
export type Runner = TrackState | null;

export class TrackWriter {
  readonly list: TrackState[] = [];
  private readonly packets: Packets;
  private readonly beforeRebind: (track: TrackState) => void;
  /** Which track a reader takes a tid or CPU number for, after what was written so far. */
  private readonly tidOwner = new Map<number, TrackState>();
  private readonly cpuOwner = new Map<number, TrackState>();

  /** @param beforeRebind called when the track is about to take its tid or CPU number from another */
  constructor(packets: Packets, beforeRebind: (track: TrackState) => void) {
    this.packets = packets;
    this.beforeRebind = beforeRebind;
  }

  add(info: TrackInfo): TrackId {
    const parent = info.parent === undefined ? undefined : this.at(info.parent);
    const id = this.list.length;
    const track = new TrackState({ ...info }, FIRST_TRACK_UUID + id, parent);
    this.list.push(track);
    if (info.sortIndex !== undefined && parent !== undefined && !parent.hasOrderedChildren) {
      parent.hasOrderedChildren = true;
      parent.section = 0;
    }
    if (this.packets.section !== 0) this.declare(track);
    return id as TrackId;
  }

  at(id: TrackId): TrackState {
    const track = this.list[id];
    if (track === undefined) throw new RangeError(`track ${id} was not given by this sink`);
    return track;
  }

  /** Its uuid, declared; 0 for none. */
  uuidOf(track: Runner): number {
    if (track === null) return 0;
    this.declare(track);
    return track.uuid;
  }

  /** Writes the track's descriptor, after its parents', unless this section has it. */
  declare(track: TrackState): void {
    if (track.section === this.packets.section) return;
    if (track.parent !== undefined) this.declare(track.parent);
    this.writeTrack(track);
  }

  /** Declares the track and makes sure that a reader takes its tid or CPU number for it. */
  own(track: TrackState): void {
    if (track.section !== this.packets.section) {
      this.declare(track);
      return;
    }
    if (!track.ownsNumber) this.writeTrack(track);
  }

  private writeTrack(track: TrackState): void {
    const number = track.isThread ? track.tid : track.cpu;
    if (track.isThread || number >= 0) {
      const owners = track.isThread ? this.tidOwner : this.cpuOwner;
      const owner = owners.get(number);
      // What waits in the bundles means the owner so far.
      if (owner !== undefined && owner !== track) {
        this.beforeRebind(track);
        owner.ownsNumber = false;
      }
      owners.set(number, track);
      track.ownsNumber = true;
    }
    if (hasTreeEntry(track)) {
      const packet = this.packets.startUntimed(0);
      const tree = this.packets.out.open(TracePacket.processTree);
      const process = this.packets.out.open(ProcessTree.processes);
      this.packets.out.uint(TreeProcess.pid, track.pid);
      this.packets.out.uint(TreeProcess.ppid, track.info.parentPid!);
      this.packets.out.string(TreeProcess.cmdline, track.name);
      this.packets.out.close(process);
      this.packets.out.close(tree);
      this.packets.endPacket(packet);
    }
    const packet = this.packets.startUntimed(0);
    writeDescriptor(this.packets.out, track);
    this.packets.endPacket(packet);
    track.section = this.packets.section;
  }
}
