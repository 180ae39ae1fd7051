import { TracePacket } from "./records.ts";

/** Is this a Perfetto trace? Looks at whole packets, not at the first byte: 0x0a is also a newline. */
export function detect(head: Uint8Array, _fileName: string): number {
  let at = 0;
  let packets = 0;
  while (at < head.length && packets < 8) {
    if (head[at] !== 0x0a) return packets === 0 ? 0 : 10;
    const length = varint(head, at + 1, head.length);
    if (length === undefined) break;
    const end = length.next + length.value;
    const fields = plausibleFields(
      head,
      length.next,
      Math.min(end, head.length),
      end > head.length,
    );
    if (fields === 0) return 0;
    packets++;
    at = end;
  }
  if (packets === 0) return 0;
  return packets >= 3 || at >= head.length ? 95 : 80;
}

/** Fields of TracePacket that are numbers; all others are messages, texts or bytes. */
const NUMBERS: ReadonlySet<number> = new Set([
  TracePacket.trustedUid,
  TracePacket.timestamp,
  TracePacket.trustedPacketSequenceId,
  TracePacket.sequenceFlags,
  TracePacket.incrementalStateCleared,
  TracePacket.previousPacketDropped,
  TracePacket.timestampClockId,
  TracePacket.trustedPid,
  TracePacket.firstPacketOnSequence,
  TracePacket.machineId,
]);
const KNOWN: ReadonlySet<number> = new Set(Object.values(TracePacket));
/** Highest field number of TracePacket: what its extensions may use. */
const MAX_FIELD = 1999;

/** Counts whole fields that we know of TracePacket; 0 when something can't be one. */
function plausibleFields(bytes: Uint8Array, from: number, to: number, isCut: boolean): number {
  let at = from;
  let known = 0;
  while (at < to) {
    const tag = varint(bytes, at, to);
    if (tag === undefined) return isCut ? known : 0;
    const field = Math.floor(tag.value / 8);
    const wire = tag.value % 8;
    if (field === 0 || field > MAX_FIELD) return 0;
    const isKnown = KNOWN.has(field);
    if (isKnown && wire !== (NUMBERS.has(field) ? 0 : 2)) return 0;
    if (wire === 0 || wire === 2) {
      const value = varint(bytes, tag.next, to);
      if (value === undefined) return isCut ? known : 0;
      at = value.next + (wire === 2 ? value.value : 0);
    } else if (wire === 1) at = tag.next + 8;
    else if (wire === 5) at = tag.next + 4;
    else return 0;
    if (at > to) return isCut ? known : 0;
    if (isKnown) known++;
  }
  return known;
}

function varint(
  bytes: Uint8Array,
  at: number,
  to: number,
): { value: number; next: number } | undefined {
  let value = 0;
  let scale = 1;
  for (let i = 0; i < 10; i++) {
    if (at + i >= to) return undefined;
    const byte = bytes[at + i]!;
    value += (byte & 127) * scale;
    if (byte < 128) return { value, next: at + i + 1 };
    scale *= 128;
  }
  return undefined;
}
