/**
 * The text of a tracepoint's `format` file: its id and where each field lies in the raw data.
 *
 *     name: sched_switch
 *     ID: 372
 *     format:
 *     	field:char prev_comm[16];	offset:8;	size:16;	signed:0;
 *
 * Offsets differ between kernels and are never written into kymo.
 *
 * @see https://docs.kernel.org/trace/events.html#event-formats
 */
export interface EventField {
  readonly name: string;
  readonly type: string;
  readonly offset: number;
  readonly size: number;
  readonly signed: boolean;
}
export interface EventFormat {
  readonly name: string;
  readonly id: number;
  readonly fields: ReadonlyMap<string, EventField>;
  readonly printFormat: string;
}

/** @returns undefined when the text has no id or a field line cannot be read. */
export function parseEventFormat(text: string): EventFormat | undefined {
  const name = /^name:\s*(\S+)/m.exec(text)?.[1];
  const id = /^ID:\s*(\d+)/m.exec(text)?.[1];
  if (name === undefined || id === undefined) return undefined;
  const fields = new Map<string, EventField>();
  const line =
    /^\s*field:([^;]*?)([A-Za-z_]\w*)((?:\[[^\]]*\])*);\s*offset:(\d+);\s*size:(\d+);(?:\s*signed:(\d+);)?/gm;
  for (const [, type, field, array, offset, size, signed] of text.matchAll(line))
    fields.set(field!, {
      name: field!,
      type: `${type!.trim()}${array}`,
      offset: Number(offset),
      size: Number(size),
      signed: signed === "1",
    });
  if (fields.size === 0) return undefined;
  return {
    name,
    id: Number(id),
    fields,
    printFormat: /^print fmt:\s*(.*)$/ms.exec(text)?.[1]?.trim() ?? "",
  };
}

/**
 * Byte offset of a field in the raw data.
 * @throws Error when the kernel's event lacks the field or it is not `size` bytes wide.
 */
export function fieldOffset(format: EventFormat, name: string, size: number): number {
  const field = format.fields.get(name);
  if (field === undefined || field.size !== size)
    throw new Error(
      `the kernel's ${format.name} event ${field === undefined ? `has no field ${name}` : `has ${name} with ${field.size} bytes; expected ${size}`}`,
    );
  return field.offset;
}

/**
 * The letters of task states in sched_switch's print format (`{ 0x00000001, "S" }, …`), by their bit.
 * A state with no bit set is "R".
 */
export function taskStateLetters(format: EventFormat): ReadonlyMap<number, string> {
  const letters = new Map<number, string>();
  for (const [, bit, letter] of format.printFormat.matchAll(
    /\{\s*(0x[0-9a-f]+|\d+)\s*,\s*"([A-Za-z])"\s*\}/gi,
  ))
    letters.set(Number(bit), letter!);
  return letters;
}
