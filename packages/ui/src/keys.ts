/**
 * Which key does what: one table for the keyboard, the help (`?`) and the tests.
 */
import type { Held } from "./timeline/motion.ts";

export type Action =
  | { readonly kind: "hold"; readonly what: Held }
  | { readonly kind: "once"; readonly what: Once };
export type Once =
  | "fit"
  | "reset"
  | "next"
  | "previous"
  | "parent"
  | "child"
  | "nextHit"
  | "previousHit"
  | "clear"
  | "search"
  | "help"
  | "drawer"
  | "zoomInOnce"
  | "zoomOutOnce"
  | "pageUp"
  | "pageDown"
  | "density"
  | "theme"
  | "pause"
  | "follow";

export interface KeyPress {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly altKey: boolean;
  readonly shiftKey: boolean;
}

const held: { readonly [key: string]: Held } = {
  w: "zoomIn",
  s: "zoomOut",
  a: "panLeft",
  d: "panRight",
};
const once: { readonly [key: string]: Once } = {
  f: "fit",
  "0": "reset",
  ".": "next",
  ",": "previous",
  "/": "search",
  "?": "help",
  q: "drawer",
  "+": "zoomInOnce",
  "=": "zoomInOnce",
  "-": "zoomOutOnce",
  c: "density",
  " ": "pause",
  l: "follow",
  escape: "clear",
  pageup: "pageUp",
  pagedown: "pageDown",
};

/**
 * What a key press means on the timeline. Arrows walk from the selected event; with nothing selected they pan and
 * scroll. `undefined`: not ours, the browser's.
 */
export function actionOf(press: KeyPress, hasSelection: boolean): Action | undefined {
  if (press.ctrlKey || press.metaKey || press.altKey) return undefined;
  const key = press.key.toLowerCase();
  if (held[key]) return { kind: "hold", what: held[key] };
  if (key === "enter") return { kind: "once", what: press.shiftKey ? "previousHit" : "nextHit" };
  if (key === "arrowleft")
    return hasSelection ? { kind: "once", what: "previous" } : { kind: "hold", what: "panLeft" };
  if (key === "arrowright")
    return hasSelection ? { kind: "once", what: "next" } : { kind: "hold", what: "panRight" };
  if (key === "arrowup") return { kind: "once", what: hasSelection ? "parent" : "pageUp" };
  if (key === "arrowdown") return { kind: "once", what: hasSelection ? "child" : "pageDown" };
  const what = once[key];
  return what && { kind: "once", what };
}

/** What a wheel turn does. Line and page deltas become px. */
export interface WheelTurn {
  readonly deltaX: number;
  readonly deltaY: number;
  readonly deltaMode: number;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly shiftKey: boolean;
}
export type WheelAction =
  | { readonly kind: "zoom"; readonly factor: number }
  | { readonly kind: "pan"; readonly px: number }
  | { readonly kind: "scroll"; readonly px: number };

export function wheelActionOf(turn: WheelTurn): WheelAction {
  const unit = turn.deltaMode === 1 ? 18 : turn.deltaMode === 2 ? 400 : 1;
  const x = turn.deltaX * unit;
  const y = turn.deltaY * unit;
  if (turn.ctrlKey || turn.metaKey) {
    const limited = Math.min(240, Math.max(-240, y || x));
    return { kind: "zoom", factor: Math.exp(limited * 0.0022) };
  }
  if (turn.shiftKey) return { kind: "pan", px: y || x };
  return Math.abs(x) > Math.abs(y) ? { kind: "pan", px: x } : { kind: "scroll", px: y };
}

export const keyHelp: readonly {
  readonly title: string;
  readonly keys: readonly (readonly [string, string])[];
}[] = [
  {
    title: "Move",
    keys: [
      ["W  S", "zoom in, out at the pointer"],
      ["A  D", "pan left, right"],
      ["Ctrl + wheel", "zoom at the pointer"],
      ["wheel", "scroll the tracks"],
      ["Shift + wheel", "pan"],
      ["Shift + drag", "pan and scroll"],
      ["0", "the whole trace"],
      ["+  −", "zoom in, out"],
    ],
  },
  {
    title: "Select",
    keys: [
      ["click", "select an event"],
      ["double click", "zoom to it"],
      ["drag", "select an area: its statistics"],
      [".  ,", "next, previous event of the row"],
      ["← →", "previous, next event"],
      ["↑ ↓", "parent, child"],
      ["F", "zoom to the selection"],
      ["Esc", "clear the selection"],
    ],
  },
  {
    title: "Find",
    keys: [
      ["/", "search names"],
      ["Enter", "next hit"],
      ["Shift + Enter", "previous hit"],
    ],
  },
  {
    title: "Watch a recording",
    keys: [
      ["Space", "pause the view, resume"],
      ["L", "follow the newest events"],
    ],
  },
  {
    title: "Show",
    keys: [
      ["Q", "drawer: details, statistics, flame graph"],
      ["C", "density of the rows"],
      ["?", "this help"],
    ],
  },
];
