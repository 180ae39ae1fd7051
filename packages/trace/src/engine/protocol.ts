/**
 * What the page and the engine say to each other. The engine (columns, level of detail, raster) runs in a
 * browser worker or in the server; the page can't tell which.
 *
 *     page ── hello, open ─────────────► engine      answers carry the request's id;
 *          ── viewport 17 ─────────────►             a newer viewport cancels an older one
 *          ◄──────────── strip 17 ──────
 *          ◄──────────── tracks, appended, progress, problems (unasked)
 *
 * Every message is a plain object whose only non-JSON members are typed arrays: structured clone carries it to a
 * worker as it is; `encodeMessage`/`decodeMessage` (wire.ts) carry it over a WebSocket.
 */
import type { Problem, TrackInfo } from "../model/sink.ts";
import type { ArgValue, RowKind } from "../model/trace.ts";

export const PROTOCOL_VERSION = 1;

export type PageMessage =
  | { readonly type: "hello"; readonly version: number }
  /** Worker engine only: what to open. The server has its file already. */
  | {
      readonly type: "open";
      readonly name: string;
      readonly bytes?: Uint8Array;
      readonly url?: string;
      readonly file?: Blob;
    }
  /** Stop loading; what has been read so far stays. */
  | { readonly type: "stop" }
  | ({ readonly type: "viewport"; readonly id: number } & ViewportRequest)
  | { readonly type: "minimap"; readonly id: number; readonly width: number }
  | {
      readonly type: "at";
      readonly id: number;
      readonly row: number;
      readonly ts: number;
      readonly toleranceNs: number;
    }
  | { readonly type: "details"; readonly id: number; readonly row: number; readonly index: number }
  /** The next (+1) or previous (−1) event of a row, or the parent/first child lane: keyboard walks. */
  | {
      readonly type: "step";
      readonly id: number;
      readonly row: number;
      readonly index: number;
      readonly move: "next" | "previous" | "parent" | "child";
    }
  | { readonly type: "search"; readonly id: number; readonly text: string; readonly limit: number }
  | {
      readonly type: "flame";
      readonly id: number;
      readonly from: number;
      readonly to: number;
      readonly tracks?: readonly number[];
    }
  /** Statistics of an area selection: by name and by thread state. */
  | {
      readonly type: "area";
      readonly id: number;
      readonly from: number;
      readonly to: number;
      readonly rows: readonly number[];
    }
  | { readonly type: "sql"; readonly id: number; readonly sql: string };

export interface ViewportRequest {
  /** Row ids, top to bottom: one scanline each in the answer. */
  readonly rows: readonly number[];
  /** ns since the origin. */
  readonly from: number;
  readonly to: number;
  /** Pixels. */
  readonly width: number;
  readonly theme: "light" | "dark";
  /** Names containing this text (lower case) keep their colour, all others fade; "" for none. */
  readonly highlight: string;
  /** Labels wanted for slices at least this wide, px; 0: no labels. */
  readonly labelMinPx: number;
  /** The selected event: in rows of its kind, events of other names are drawn at 60 %. */
  readonly emphasis?: { readonly kind: RowKind; readonly name: string };
}

/** One line of the track tree; children follow by `parent`. */
export interface TrackNode {
  /** TrackId. */
  readonly id: number;
  readonly parent: number | undefined;
  readonly info: TrackInfo;
  /** The current name. */
  readonly name: string;
  /** Right-aligned id in the header, e.g. "pid 812"; "" for none. */
  readonly idText: string;
  /** A second line of facts: "12 threads · 1.2 s CPU". */
  readonly facts: string;
  /** Rows drawn for the track itself, top to bottom. */
  readonly rows: readonly {
    readonly id: number;
    readonly kind: RowKind;
    readonly lane: number;
    readonly length: number;
    readonly min?: number;
    readonly max?: number;
  }[];
  /** CPU time (processes and threads) or busy time otherwise, ns; orders siblings, most first. */
  readonly busyNs: number;
  /** Belongs to the recorded command's process tree. */
  readonly target: boolean;
  /** Processes: the colour of their threads on CPU rows, 0xRRGGBB; only where there are such rows. */
  readonly fill?: number;
  /** Has slices that are not system calls: somebody meant them to be seen. */
  readonly annotated?: boolean;
}

export interface TraceSummary {
  readonly name: string;
  readonly fromNs: number;
  readonly toNs: number;
  /** Absolute ns at 0, as decimal text. */
  readonly originNs: string;
  readonly clockDomain: string;
  readonly events: number;
  readonly metadata: { readonly [key: string]: string };
  readonly lostEvents: number;
  /** Recorded, but left out of the live view, which could not keep up. */
  readonly leftOutEvents: number;
  /** It is being recorded: it reaches to `toNs` now and grows. */
  readonly live: boolean;
}

/** Where a label goes: 4 numbers each in `labels`: x (px), width (px), scanline, index in `labelTexts`. */
export interface Strip {
  readonly id: number;
  readonly rows: readonly number[];
  readonly from: number;
  readonly to: number;
  readonly width: number;
  readonly theme: "light" | "dark";
  /** width × rows.length pixels, RGBA bytes in memory order, 0 = nothing there. */
  readonly pixels: Uint32Array;
  readonly labels: Float32Array;
  readonly labelTexts: readonly string[];
  /** Scanlines that are counter rows: height of the counter in 0…1 per px (NaN: no value), min and max in the window. */
  readonly counters: readonly {
    readonly line: number;
    readonly min: number;
    readonly max: number;
    readonly low: Float32Array;
    readonly high: Float32Array;
  }[];
  /** Loss intervals in the window, px pairs. */
  readonly losses: Float32Array;
  /** How far the trace had come when this was drawn: what is later is not in it. */
  readonly traceToNs: number;
}

export interface EventRef {
  readonly row: number;
  readonly index: number;
}
export interface EventDetails extends EventRef {
  readonly kind: RowKind;
  readonly track: number;
  readonly name: string;
  readonly category: string;
  readonly ts: number;
  /** −1: still open. */
  readonly dur: number;
  /** Slices only; −1 otherwise. */
  readonly selfNs: number;
  /** Percentile (0…100) of its duration among the slices of the same name; −1 when it makes no sense. */
  readonly percentile: number;
  readonly sameName: number;
  readonly eventId: number;
  /** Track path, outermost first: process, thread. */
  readonly path: readonly string[];
  readonly args: { readonly [key: string]: ArgValue };
  /** Facts by kind: CPU, priority, end state, waker, value, weight… in reading order. */
  readonly facts: readonly {
    readonly label: string;
    readonly value: string;
    readonly ref?: EventRef;
  }[];
  /** Samples: outermost frame first. */
  readonly stack: readonly {
    readonly name: string;
    readonly module: string;
    readonly file: string;
    readonly line: number;
  }[];
  readonly ancestors: readonly {
    readonly name: string;
    readonly row: number;
    readonly index: number;
  }[];
  readonly flows: readonly {
    readonly step: "in" | "out";
    readonly other: EventRef & {
      readonly name: string;
      readonly ts: number;
      readonly track: number;
    };
  }[];
}
export interface SearchHit extends EventRef {
  readonly name: string;
  readonly ts: number;
  readonly dur: number;
  readonly track: number;
}
/** Pre-order; children follow their parent with depth + 1. */
export interface FlameNode {
  readonly name: string;
  readonly module: string;
  readonly depth: number;
  readonly totalNs: number;
  readonly selfNs: number;
  readonly samples: number;
}

export type EngineMessage =
  | {
      readonly type: "hello";
      readonly version: number;
      readonly kind: "worker" | "server";
      readonly sql: boolean;
    }
  | {
      readonly type: "progress";
      readonly phase: "reading" | "indexing";
      readonly bytes: number;
      readonly totalBytes: number;
      readonly events: number;
      readonly bytesPerSecond: number;
    }
  /** Sent when loading ends and, while loading or live, whenever the tree changed (at most a few times a second). */
  | {
      readonly type: "tracks";
      readonly summary: TraceSummary;
      readonly tracks: readonly TrackNode[];
      readonly done: boolean;
    }
  /** The trace grew but the tree is the same. */
  | {
      readonly type: "appended";
      readonly toNs: number;
      readonly events: number;
      readonly lostEvents: number;
      readonly leftOutEvents: number;
    }
  | { readonly type: "problems"; readonly problems: readonly Problem[] }
  | ({ readonly type: "strip" } & Strip)
  /** Busy fraction 0…1 of all CPUs (or of all tracks, when there is no scheduling) per px, over the whole trace. */
  | {
      readonly type: "minimap";
      readonly id: number;
      readonly density: Float32Array;
      readonly fromNs: number;
      readonly toNs: number;
    }
  | { readonly type: "at"; readonly id: number; readonly hit: EventDetails | undefined }
  | { readonly type: "details"; readonly id: number; readonly details: EventDetails | undefined }
  | { readonly type: "step"; readonly id: number; readonly details: EventDetails | undefined }
  | {
      readonly type: "search";
      readonly id: number;
      readonly hits: readonly SearchHit[];
      readonly total: number;
      readonly heat: Float32Array;
    }
  | {
      readonly type: "flame";
      readonly id: number;
      readonly nodes: readonly FlameNode[];
      readonly samples: number;
      readonly totalNs: number;
    }
  | {
      readonly type: "area";
      readonly id: number;
      readonly names: readonly {
        readonly name: string;
        /** Its slices are system calls: they have their own family of colours. */
        readonly syscall?: true;
        readonly count: number;
        readonly totalNs: number;
        readonly selfNs: number;
        readonly maxNs: number;
      }[];
      readonly states: readonly { readonly state: string; readonly totalNs: number }[];
      readonly counters: readonly {
        readonly name: string;
        readonly min: number;
        readonly max: number;
        readonly mean: number;
        readonly unit?: string;
      }[];
    }
  | {
      readonly type: "sql";
      readonly id: number;
      readonly columns: readonly string[];
      readonly rows: readonly (readonly (string | number | null)[])[];
      readonly truncated: boolean;
    }
  /** `id` when a request failed; without it, the whole load. `hint` says what to do. */
  | {
      readonly type: "error";
      readonly id?: number;
      readonly message: string;
      readonly hint: string;
    };
