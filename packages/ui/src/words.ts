/**
 * Numbers and thread states as people read them: "12.3 ms", "1.2 M", "Sleeping".
 */

const unitsNs = [
  { ns: 1e9, name: "s" },
  { ns: 1e6, name: "ms" },
  { ns: 1e3, name: "µs" },
  { ns: 1, name: "ns" },
] as const;

/** Four significant figures with a unit: 1234 → "1.234 µs"; 90e9 → "1 min 30 s". NaN or negative: "open". */
export function formatDuration(ns: number): string {
  if (!(ns >= 0)) return "open";
  if (ns >= 3600e9) return `${Math.floor(ns / 3600e9)} h ${Math.round((ns % 3600e9) / 60e9)} min`;
  if (ns >= 60e9) return `${Math.floor(ns / 60e9)} min ${Math.round((ns % 60e9) / 1e9)} s`;
  const unit = unitsNs.find((each) => ns >= each.ns) ?? unitsNs[3];
  const value = ns / unit.ns;
  const digits = unit.ns === 1 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3;
  return `${trimZeros(value.toFixed(digits))} ${unit.name}`;
}

/** A moment as "1.234567 s": every digit down to `stepNs`, in the unit that suits the step. */
export function formatTime(ns: number, stepNs: number): string {
  const size = Math.max(Math.abs(ns), stepNs);
  const unit =
    size >= 1e9 && stepNs >= 1e3
      ? unitsNs[0]
      : size >= 1e6
        ? unitsNs[1]
        : size >= 1e3
          ? unitsNs[2]
          : unitsNs[3];
  const digits = Math.max(0, Math.min(9, -Math.floor(Math.log10(stepNs / unit.ns) + 1e-9)));
  return `${(ns / unit.ns).toFixed(digits)} ${unit.name}`;
}

/** 1234 → "1,234"; 1234567 → "1.23 M". */
export function formatCount(count: number): string {
  if (count < 100_000) return Math.round(count).toLocaleString("en");
  if (count < 1e6) return `${(count / 1e3).toFixed(0)} k`;
  if (count < 1e9) return `${(count / 1e6).toFixed(2)} M`;
  return `${(count / 1e9).toFixed(2)} G`;
}

export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  if (bytes < 1e9) return `${(bytes / 1e6).toFixed(1)} MB`;
  return `${(bytes / 1e9).toFixed(2)} GB`;
}

/** 0.4321 → "43 %"; below 1 % one digit more. */
export function formatShare(share: number): string {
  if (!(share > 0)) return "0 %";
  if (share < 0.001) return "< 0.1 %";
  return share < 0.0995 ? `${(share * 100).toFixed(1)} %` : `${Math.round(share * 100)} %`;
}

export interface StateWords {
  /** "Sleeping" */
  readonly name: string;
  /** What the colour means, as a sentence's end. */
  readonly meaning: string;
}

const byState: { readonly [state: string]: StateWords } = {
  Running: { name: "Running", meaning: "on a CPU" },
  R: { name: "Runnable", meaning: "ready to run, waiting for a CPU" },
  "R+": { name: "Runnable (preempted)", meaning: "taken off its CPU, waiting for one again" },
  S: { name: "Sleeping", meaning: "waiting for something to happen" },
  D: {
    name: "Uninterruptible",
    meaning: "waiting inside the kernel, usually for a disk or another device",
  },
  I: { name: "Idle", meaning: "an idle kernel thread" },
  T: { name: "Stopped", meaning: "stopped by a signal" },
  t: { name: "Traced", meaning: "stopped by a debugger" },
  X: { name: "Dead", meaning: "exiting" },
  Z: { name: "Zombie", meaning: "ended, waiting for its parent to notice" },
};

/** Words for the kernel's state letter; an unknown letter stays itself. */
export function stateWords(state: string): StateWords {
  return byState[state] ?? byState[state[0] ?? ""] ?? { name: state, meaning: "" };
}

/** The text, or its head and tail when it is longer than anybody reads: names may be megabytes. */
export function cutText(text: string, most: number): string {
  if (text.length <= most) return text;
  const half = Math.floor((most - 1) / 2);
  return `${text.slice(0, half)}…${text.slice(-half)}`;
}

const MOST_COMMAND = 80;
/** A command as a person would type it: "/usr/bin/node /srv/shop/main.mjs" → "node main.mjs". */
export function shortCommand(command: string): string {
  const short = command.slice(0, 4096).replace(/(^|[\s='"])\/(?:[^\s/'"]+\/)+(?=[^\s/'"])/g, "$1");
  return short.length <= MOST_COMMAND ? short : `${short.slice(0, MOST_COMMAND)}…`;
}

function trimZeros(text: string): string {
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}
