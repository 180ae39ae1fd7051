/** The fields of one TracePacket, in numbers that are used again for the next: what the reader and the lint both walk. */
import { ProtoReader } from "../../wire/protobuf-reader.ts";
import { SequenceFlag, TracePacket } from "./records.ts";

export class PacketFields {
  private readonly packet = new ProtoReader();
  hasTime = false;
  timeHigh = 0;
  timeLow = 0;
  /** 0: the sequence's default. */
  clock = 0;
  sequenceId = 0;
  flags = 0;
  /** The sequence's incremental state starts afresh, said in either way. */
  cleared = false;
  dropped = false;
  first = false;
  machineId = 0;
  /** Field number of the packet's data, 0: none; of more than one, the last. */
  kind = 0;
  kinds = 0;
  start = 0;
  stop = 0;
  /** −1: not there. */
  internedStart = -1;
  internedStop = 0;
  defaultsStart = -1;
  defaultsStop = 0;
  /** A field that is neither known nor a message; 0: none. */
  unknown = 0;

  /** @throws ProtoError */
  read(bytes: Uint8Array, from: number, to: number): void {
    this.restart();
    const packet = this.packet.over(bytes, from, to);
    while (packet.next())
      switch (packet.field) {
        case TracePacket.timestamp:
          this.hasTime = true;
          this.timeHigh = packet.high;
          this.timeLow = packet.low;
          break;
        case TracePacket.timestampClockId:
          this.clock = packet.number();
          break;
        case TracePacket.trustedPacketSequenceId:
          this.sequenceId = packet.number();
          break;
        case TracePacket.sequenceFlags:
          this.flags = packet.low;
          break;
        case TracePacket.incrementalStateCleared:
          this.cleared = packet.bool();
          break;
        case TracePacket.previousPacketDropped:
          this.dropped = packet.bool();
          break;
        case TracePacket.firstPacketOnSequence:
          this.first = packet.bool();
          break;
        case TracePacket.machineId:
          this.machineId = packet.number();
          break;
        case TracePacket.internedData:
          this.internedStart = packet.start;
          this.internedStop = packet.stop;
          break;
        case TracePacket.tracePacketDefaults:
          this.defaultsStart = packet.start;
          this.defaultsStop = packet.stop;
          break;
        case TracePacket.trustedUid:
        case TracePacket.trustedPid:
          break;
        default:
          if (packet.wire === 2) {
            this.kind = packet.field;
            this.kinds++;
            this.start = packet.start;
            this.stop = packet.stop;
          } else this.unknown = packet.field;
      }
    if ((this.flags & SequenceFlag.incrementalStateCleared) !== 0) this.cleared = true;
  }

  get needsState(): boolean {
    return (this.flags & SequenceFlag.needsIncrementalState) !== 0;
  }

  private restart(): void {
    this.hasTime = false;
    this.clock = 0;
    this.sequenceId = 0;
    this.flags = 0;
    this.cleared = false;
    this.dropped = false;
    this.first = false;
    this.machineId = 0;
    this.kind = 0;
    this.kinds = 0;
    this.internedStart = -1;
    this.defaultsStart = -1;
    this.unknown = 0;
  }
}
