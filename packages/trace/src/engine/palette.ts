/**
 * Colours: names take one of twelve fills by a hash of the name without its digits (worker-1 and worker-2 match);
 * thread states have their own. Pixels are RGBA bytes in memory order, so a word is A·2²⁴ + B·2¹⁶ + G·2⁸ + R.
 */
import type { StringId } from "../model/sink.ts";
import type { Trace } from "../model/trace.ts";

export type Theme = "light" | "dark";

/** Fills, the same in both themes; ink on them is #14181f. None is green: green is a thread that runs. */
export const FILLS: readonly number[] = [
  0x25ccf1, 0xace1f2, 0x5ca1f0, 0x9d91bc, 0xdea5c4, 0xbb8e81, 0xd5834d, 0xf39e5f, 0xedce59,
  0xd9c8a9, 0xc9a2e8, 0xf2a6a0,
];

/** System calls: one family of slates, so that they don't look like what the program names itself. */
export const SYSCALL_FILLS: readonly number[] = [0x8fa6c0, 0xa6b8cd, 0x7f97b4, 0xb6c4d5];

/** Category of slices that are system calls. */
export const SYSCALL_CATEGORY = "syscall";

/** 0xRRGGBB of a slice. */
export function sliceFill(name: string, isSyscall: boolean): number {
  const fill = fillOf(name);
  return isSyscall ? SYSCALL_FILLS[fill % SYSCALL_FILLS.length]! : FILLS[fill]!;
}

/** A pixel from 0xRRGGBB and alpha 0…255. */
export function pixel(rgb: number, alpha = 255): number {
  return ((alpha << 24) | ((rgb & 0xff) << 16) | (rgb & 0xff00) | (rgb >>> 16)) >>> 0;
}

/** The same colour with a quarter of its saturation: a search miss. */
export function faded(rgb: number): number {
  const r = rgb >>> 16;
  const g = (rgb >>> 8) & 0xff;
  const b = rgb & 0xff;
  const grey = 0.299 * r + 0.587 * g + 0.114 * b;
  const mix = (c: number): number => Math.round(grey + (c - grey) / 4);
  return (mix(r) << 16) | (mix(g) << 8) | mix(b);
}

/** Index in FILLS for a name; the page may use it for the same colours elsewhere. */
export function fillOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code >= 48 && code <= 57) continue;
    hash = Math.imul(hash ^ code, 0x01000193);
  }
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  hash ^= hash >>> 13;
  return (hash >>> 0) % FILLS.length;
}

/** What a thread was doing, by the state's letter. */
export type StateClass =
  | "running"
  | "runnable"
  | "preempted"
  | "uninterruptible"
  | "stopped"
  | "sleeping"
  | "ended";

export function stateClass(letter: string): StateClass {
  if (letter === "Running") return "running";
  if (letter === "R") return "runnable";
  if (letter === "R+") return "preempted";
  if (letter.startsWith("D")) return "uninterruptible";
  if (letter.startsWith("T") || letter.startsWith("t")) return "stopped";
  if (letter.startsWith("X") || letter.startsWith("Z")) return "ended";
  return "sleeping";
}

const stateTitles: { readonly [state in StateClass]: string } = {
  running: "Running",
  runnable: "Runnable",
  preempted: "Runnable (preempted)",
  uninterruptible: "Uninterruptible sleep",
  stopped: "Stopped",
  sleeping: "Sleeping",
  ended: "Ended",
};
/** The state in words; an idle kernel thread ("I") sleeps without counting as load. */
export function stateTitle(letter: string): string {
  return letter === "I" ? "Idle" : stateTitles[stateClass(letter)];
}

interface Ink {
  readonly rgb: number;
  readonly alpha: number;
  /** Second colour of a diagonal hatch, drawn by the page: a strip's row is one scanline. */
  readonly hatch?: number;
}
/**
 * Green, amber and violet also differ in lightness, by 3:1 where the theme has the room: stripes a pixel wide are told
 * apart by lightness first, and so are colours by eyes that see fewer of them.
 */
const states: { readonly [theme in Theme]: { readonly [state in StateClass]: Ink } } = {
  light: {
    running: { rgb: 0x2f9150, alpha: 255 },
    runnable: { rgb: 0xf0b429, alpha: 255 },
    preempted: { rgb: 0x471f6d, alpha: 255 },
    uninterruptible: { rgb: 0xd94a4a, alpha: 255, hatch: 0xa82e2e },
    stopped: { rgb: 0x6e7b8a, alpha: 255 },
    sleeping: { rgb: 0x656d76, alpha: 26 },
    ended: { rgb: 0, alpha: 0 },
  },
  dark: {
    running: { rgb: 0x45a862, alpha: 255 },
    runnable: { rgb: 0xf5c451, alpha: 255 },
    preempted: { rgb: 0x8450b8, alpha: 255 },
    uninterruptible: { rgb: 0xe05555, alpha: 255, hatch: 0xa53333 },
    stopped: { rgb: 0x8593a3, alpha: 255 },
    sleeping: { rgb: 0x8b949e, alpha: 30 },
    ended: { rgb: 0, alpha: 0 },
  },
};
export function stateInk(theme: Theme, state: StateClass): Ink {
  return states[theme][state];
}

/** Fill of every interned name, hashed once each. */
export class NameFills {
  readonly #trace: Trace;
  /** 0: not hashed yet; else the fill's index + 1. */
  #fills = new Uint8Array(1024);

  constructor(trace: Trace) {
    this.#trace = trace;
  }
  of(name: number): number {
    if (name >= this.#fills.length) this.#grow(name);
    const fill = this.#fills[name]!;
    if (fill > 0) return fill - 1;
    const fresh = fillOf(this.#trace.strings.get(name as StringId));
    this.#fills[name] = fresh + 1;
    return fresh;
  }
  #grow(name: number): void {
    const fills = new Uint8Array(Math.max(2 * this.#fills.length, name + 1));
    fills.set(this.#fills);
    this.#fills = fills;
  }
}

/** Which interned names contain a text, ignoring case; each is looked at once. */
export class NameMatches {
  readonly text: string;
  readonly #trace: Trace;
  /** 0: not looked at yet; 1 miss; 2 hit. */
  #matches = new Uint8Array(1024);

  constructor(trace: Trace, text: string) {
    this.#trace = trace;
    this.text = text.toLowerCase();
  }
  has(name: number): boolean {
    if (name >= this.#matches.length) {
      const matches = new Uint8Array(Math.max(2 * this.#matches.length, name + 1));
      matches.set(this.#matches);
      this.#matches = matches;
    }
    const known = this.#matches[name]!;
    if (known > 0) return known === 2;
    const hit = this.hasText(this.#trace.strings.get(name as StringId));
    this.#matches[name] = hit ? 2 : 1;
    return hit;
  }
  hasText(name: string): boolean {
    return name.toLowerCase().includes(this.text);
  }
}
