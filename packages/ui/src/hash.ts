/** The view's state in the address: `#from=1200&to=5000&sel=12.340`, times in ns from the trace's start. */
export interface ViewState {
  readonly from?: number;
  readonly to?: number;
  readonly selection?: { readonly row: number; readonly index: number };
}

export function readHash(hash: string): ViewState {
  const fields = new URLSearchParams(hash.replace(/^#/, ""));
  const from = number(fields.get("from"));
  const to = number(fields.get("to"));
  const selection = /^(\d{1,9})\.(\d{1,12})$/.exec(fields.get("sel") ?? "");
  return {
    ...(from !== undefined && to !== undefined && to > from && { from, to }),
    ...(selection && { selection: { row: Number(selection[1]), index: Number(selection[2]) } }),
  };
}

export function writeHash({ from, to, selection }: ViewState): string {
  const fields: string[] = [];
  if (from !== undefined && to !== undefined)
    fields.push(`from=${Math.round(from)}`, `to=${Math.round(to)}`);
  if (selection) fields.push(`sel=${selection.row}.${selection.index}`);
  return fields.length > 0 ? `#${fields.join("&")}` : "";
}

function number(text: string | null): number | undefined {
  if (text === null || !/^-?\d+(\.\d+)?$/.test(text)) return undefined;
  return Number(text);
}
