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

/** Highest field number of TracePacket: what its extensions may use. */
const MAX_FIELD = 1999;

/** Counts fields that TracePacket could have; 0 when something can't be one. */
function plausibleFields(bytes: Uint8Array, from: number, to: number, isCut: boolean): number {
  let at = from;
  let known = 0;
  while (at < to) {
    const tag = varint(bytes, at, to);
    if (tag === undefined) return isCut ? known : 0;
    const field = Math.floor(tag.value / 8);
    const wire = tag.value % 8;
    if (field === 0 || field > MAX_FIELD) return 0;
    // The fields that nearly every packet has, with the type they must have.
    const isVarintField =
      field === 8 || field === 10 || field === 13 || field === 58 || field === 3;
    if (isVarintField && wire !== 0) return 0;
    if (wire === 0) {
      const value = varint(bytes, tag.next, to);
      if (value === undefined) return isCut ? known : 0;
      at = value.next;
    } else if (wire === 2) {
      const length = varint(bytes, tag.next, to);
      if (length === undefined) return isCut ? known : 0;
      at = length.next + length.value;
      if (at > to && !isCut) return 0;
    } else if (wire === 1) at = tag.next + 8;
    else if (wire === 5) at = tag.next + 4;
    else return 0;
    known++;
  }
  return at > to && !isCut ? 0 : known;
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
