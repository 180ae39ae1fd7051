/** The line under a running recording, and what is said at its end. Everything goes to stderr. */
import type { Progress } from "./messages.ts";

/** `12.0 s   1,234,567 events   102,881/s   14.2 MB   0 lost` */
export function progressLine(now: Progress, before: Progress | undefined): string {
  const seconds = (now.elapsedNs - (before?.elapsedNs ?? 0)) / 1e9;
  const rate = seconds > 0 ? (now.events - (before?.events ?? 0)) / seconds : 0;
  return [
    formatSeconds(now.elapsedNs),
    `${formatCount(now.events)} events`,
    `${formatCount(rate)}/s`,
    formatBytes(now.bytes),
    `${formatCount(now.lost)} lost`,
  ].join("   ");
}

/** `trace.pftrace: 14.2 MB, 12.0 s, 1,234,567 events, 0 lost; kymo itself used 0.6 s of CPU` */
export function summaryLine(file: string, end: Progress): string {
  return `${file}: ${formatBytes(end.bytes)}, ${formatSeconds(end.elapsedNs)}, ${formatCount(end.events)} events, ${formatCount(end.lost)} lost; kymo itself used ${formatSeconds(end.ownCpuNs)} of CPU`;
}

/** One updating line on a terminal; nothing elsewhere. */
export class ProgressLine {
  readonly #stream: NodeJS.WriteStream;
  readonly #shown: boolean;
  #before: Progress | undefined;
  #drawn = false;

  constructor(stream: NodeJS.WriteStream, quiet: boolean) {
    this.#stream = stream;
    this.#shown = stream.isTTY === true && !quiet;
  }

  update(now: Progress): void {
    if (!this.#shown) return;
    const line = progressLine(now, this.#before).slice(0, (this.#stream.columns ?? 80) - 1);
    this.#stream.write(`\r\x1b[K${line}`);
    this.#before = now;
    this.#drawn = true;
  }

  clear(): void {
    if (this.#drawn) this.#stream.write("\r\x1b[K");
    this.#drawn = false;
  }
}

export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes / 1000;
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}
function formatSeconds(ns: number): string {
  return `${(ns / 1e9).toFixed(1)} s`;
}
function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en-US");
}
