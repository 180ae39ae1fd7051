/** Numbers as text, for facts and details. */

/** "1.25 ms", "340 ns", "2.1 s", "3 min 4 s": at most three digits that matter. */
export function formatNs(ns: number): string {
  const size = Math.abs(ns);
  if (!Number.isFinite(size)) return "open";
  if (size >= 60e9) {
    const minutes = Math.trunc(ns / 60e9);
    return `${minutes} min ${Math.round((size % 60e9) / 1e9)} s`;
  }
  if (size >= 1e9) return `${digits(ns / 1e9)} s`;
  if (size >= 1e6) return `${digits(ns / 1e6)} ms`;
  if (size >= 1e3) return `${digits(ns / 1e3)} µs`;
  return `${Math.round(ns)} ns`;
}

/** With thin separators of thousands: "1 234 567". */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

export function plural(count: number, word: string): string {
  return `${formatCount(count)} ${word}${count === 1 ? "" : "s"}`;
}

/** A counter's value with its unit: bytes as KiB/MiB/GiB, ns as time, else plain. */
export function formatValue(value: number, unit: string | undefined): string {
  if (unit === "ns") return formatNs(value);
  if (unit === "bytes" || unit === "B") {
    const names = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = 0;
    let scaled = value;
    for (; Math.abs(scaled) >= 1024 && power < names.length - 1; power++) scaled /= 1024;
    return `${power === 0 ? value : digits(scaled)} ${names[power]}`;
  }
  const text = Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  return unit === undefined || unit === "" ? text : `${text} ${unit}`;
}

function digits(value: number): string {
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}
