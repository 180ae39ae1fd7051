/**
 * Async events: b/n/e (and the older S/T/p/F), matched by category and id, not by thread.
 *
 *     b id 1 "load" ── b id 1 "parse" ── e ── e        one root with a nested slice
 *         b id 2 "load" ─────── e                      a second at the same time: another lane
 *
 * When a root ends, it gets a lane of its (process, category, name): the first that is free from its start on. So a
 * thousand requests one after the other share one track, and nothing seems nested that is not.
 */
import type { ArgSetId, Ns, StringId, TraceSink, TrackId } from "../../model/sink.ts";

interface Open {
  readonly ts: Ns;
  readonly name: StringId;
  readonly category: StringId;
  /** Its arguments in bytes, kept for the end's to be joined to. */
  readonly args: Uint8Array | undefined;
}
interface Finished {
  readonly ts: Ns;
  /** NaN: an instant. */
  readonly dur: Ns;
  readonly name: StringId;
  readonly category: StringId;
  readonly args: ArgSetId;
}
interface Chain {
  readonly lanes: Lanes;
  readonly open: Open[];
  /** Of the root that is open now; given to the sink when its lane is known. */
  readonly finished: Finished[];
  lane: Lane | undefined;
}
interface Lane {
  readonly track: TrackId;
  freeFrom: number;
}
export interface Lanes {
  /** Declares one more track of this kind. */
  readonly declare: () => TrackId;
  readonly lanes: Lane[];
  /** All on one track, whatever overlaps (the model gives it lanes of its own). */
  readonly isShared: boolean;
}

/** More slices inside one root than this: it gets its lane before it ends. */
const MAX_HELD = 4096;
/** Roots that overlap more than this share the last lane. */
const MAX_LANES = 512;

/** Makes one argument set of the begin's arguments (and, at an end, of the end's). */
export type MakeArgs = (begin: Uint8Array | undefined) => ArgSetId;

export class AsyncEvents {
  readonly #sink: TraceSink;
  readonly #chains = new Map<string, Chain>();

  constructor(sink: TraceSink) {
    this.#sink = sink;
  }

  /** @param lanes  where the chain goes, when this begins it */
  begin(key: string, lanes: () => Lanes, open: Open): void {
    let chain = this.#chains.get(key);
    if (chain === undefined) {
      chain = { lanes: lanes(), open: [], finished: [], lane: undefined };
      this.#chains.set(key, chain);
    }
    chain.open.push(open);
  }

  /** The innermost open slice's name, or undefined when none is open. */
  innermost(key: string): StringId | undefined {
    return this.#chains.get(key)?.open.at(-1)?.name;
  }

  /** Ends the innermost slice, which must be there. */
  end(key: string, ts: Ns, makeArgs: MakeArgs): void {
    const chain = this.#chains.get(key)!;
    const { ts: from, name, category, args } = chain.open.pop()!;
    const dur = Math.max(0, ts - from) as Ns;
    const slice: Finished = { ts: from, dur, name, category, args: makeArgs(args) };
    if (chain.open.length > 0) {
      this.#hold(chain, slice);
      return;
    }
    chain.lane ??= laneFrom(chain.lanes, from);
    chain.lane.freeFrom = Math.max(chain.lane.freeFrom, from + dur);
    this.#emit(chain.lane.track, slice);
    for (const inner of chain.finished) this.#emit(chain.lane.track, inner);
    this.#chains.delete(key);
  }

  instant(key: string, lanes: () => Lanes, instant: Omit<Finished, "dur">): void {
    const chain = this.#chains.get(key);
    const finished = { ...instant, dur: Number.NaN as Ns };
    if (chain === undefined) this.#emit(laneFrom(lanes(), instant.ts).track, finished);
    else this.#hold(chain, finished);
  }

  /** What has not ended is given as open. @param makeArgs  makes a set of the begin's args alone */
  flush(makeArgs: MakeArgs): void {
    for (const chain of this.#chains.values()) {
      const lane = chain.lane ?? laneFrom(chain.lanes, chain.open[0]!.ts);
      lane.freeFrom = Number.POSITIVE_INFINITY;
      for (const { ts, name, category, args } of chain.open)
        this.#sink.slice(lane.track, ts, Number.NaN as Ns, name, category, makeArgs(args));
      for (const inner of chain.finished) this.#emit(lane.track, inner);
    }
    this.#chains.clear();
  }

  #hold(chain: Chain, finished: Finished): void {
    if (chain.lane === undefined && chain.finished.length >= MAX_HELD) {
      chain.lane = laneFrom(chain.lanes, chain.open[0]!.ts);
      chain.lane.freeFrom = Number.POSITIVE_INFINITY;
      for (const inner of chain.finished) this.#emit(chain.lane.track, inner);
      chain.finished.length = 0;
    }
    if (chain.lane !== undefined) this.#emit(chain.lane.track, finished);
    else chain.finished.push(finished);
  }

  #emit(track: TrackId, event: Finished): void {
    const { ts, dur, name, category, args } = event;
    if (Number.isNaN(dur)) this.#sink.instant(track, ts, name, category, args);
    else this.#sink.slice(track, ts, dur, name, category, args);
  }
}

function laneFrom({ lanes, declare, isShared }: Lanes, from: number): Lane {
  for (const lane of lanes) if (isShared || lane.freeFrom <= from) return lane;
  if (lanes.length >= MAX_LANES) return lanes[MAX_LANES - 1]!;
  const lane: Lane = { track: declare(), freeFrom: Number.NEGATIVE_INFINITY };
  lanes.push(lane);
  return lane;
}
