/**
 * The outer grammar: finds the events of a file in pieces cut anywhere, in every form that people write.
 *
 *     [ {…}, {…} ]                       array, its "]" and commas optional
 *     {"traceEvents": [ {…} ], …}        object, with members beside the events
 *     {…}\n{…}\n                         events one after the other, nothing around them
 *
 * An event that is not whole yet is tried again when more bytes are there; the buffer never grows beyond MAX_EVENT_BYTES.
 */
import { CUT, GUARD, GUARD_BYTES, QUOTE, skipValue } from "../../wire/json-bytes.ts";
import type { JsonStrings } from "../../wire/json-strings.ts";
import { CONTAINER, EventFields, parseEvent } from "./event.ts";

/** An event, or a member beside the events, that is longer is passed over. */
export const MAX_EVENT_BYTES: number = 16 * 2 ** 20;
/** An object at the top that is not whole after this many bytes is taken for the file's object, not for an event. */
const LOOK_AHEAD_BYTES = 65_536;
const FIRST_BUFFER_BYTES = 1 << 19;

const OPEN = 0x7b;
const CLOSE = 0x7d;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const COMMA = 44;
const COLON = 58;

/** What the stream finds. `b` is the stream's buffer: ranges in it are good until the call returns. */
export interface JsonTraceHandler {
  event(b: Uint8Array, fields: EventFields): void;
  /** An element of the file's "samples" array. */
  sampleEvent(b: Uint8Array, fields: EventFields): void;
  /** A member beside the events: its whole value is b[from, to). */
  member(key: string, b: Uint8Array, from: number, to: number): void;
  /** Bytes that are no part of a trace; `byteOffset` is where they start. */
  garbage(byteOffset: number): void;
  /** Something longer than MAX_EVENT_BYTES was passed over. */
  tooLong(byteOffset: number): void;
}

type State = "top" | "events" | "samples" | "object" | "skip" | "line";

export class JsonTraceStream {
  readonly #handler: JsonTraceHandler;
  readonly #strings: JsonStrings;
  readonly #fields = new EventFields();
  #b = new Uint8Array(FIRST_BUFFER_BYTES + GUARD_BYTES);
  #at = 0;
  #end = 0;
  /** Offset in the file of #b[0]. */
  #base = 0;
  /** What is at #at was not whole with fewer bytes than this: don't try again before. */
  #wanted = 0;
  #state: State = "top";
  /** Inside the file's object; the events' array closes into it. */
  #inObject = false;
  /** Events stood outside every array. */
  #hasBareEvents = false;
  /** The bytes before were garbage and reported. */
  #inGarbage = false;
  // Passing over a value that is too long: where it ends is found by counting.
  #skipDepth = 0;
  #skipString = false;
  #skipEscape = false;
  #skipTo: State = "top";

  constructor(handler: JsonTraceHandler, strings: JsonStrings) {
    this.#handler = handler;
    this.#strings = strings;
  }

  push(chunk: Uint8Array): void {
    this.#append(chunk);
    this.#run(false);
  }

  /** @returns whether the file ended inside an event, a member or the file's object. */
  end(): boolean {
    this.#run(true);
    const left = this.#at < this.#end;
    return left || this.#inObject || this.#state === "skip";
  }

  get byteOffset(): number {
    return this.#base + this.#at;
  }

  #append(chunk: Uint8Array): void {
    const left = this.#end - this.#at;
    if (this.#end + chunk.length + GUARD_BYTES > this.#b.length) {
      const needed = left + chunk.length + GUARD_BYTES;
      if (needed > this.#b.length) {
        const bigger = new Uint8Array(Math.max(needed, this.#b.length * 2));
        bigger.set(this.#b.subarray(this.#at, this.#end));
        this.#b = bigger;
      } else this.#b.copyWithin(0, this.#at, this.#end);
      this.#base += this.#at;
      this.#at = 0;
      this.#end = left;
    }
    this.#b.set(chunk, this.#end);
    this.#end += chunk.length;
    this.#b.fill(GUARD, this.#end, this.#end + GUARD_BYTES);
  }

  #run(last: boolean): void {
    if (!last && this.#end - this.#at < this.#wanted) return;
    this.#wanted = 0;
    for (;;) {
      const state = this.#state;
      const go =
        state === "events" || state === "samples"
          ? this.#events(state === "samples")
          : state === "top"
            ? this.#top()
            : state === "object"
              ? this.#object()
              : state === "skip"
                ? this.#skip()
                : this.#line();
      if (!go) return;
    }
  }

  /** The hot loop: events of an array. @returns false when more bytes are needed. */
  #events(samples: boolean): boolean {
    const b = this.#b;
    const end = this.#end;
    const fields = this.#fields;
    const strings = this.#strings;
    const handler = this.#handler;
    let p = this.#at;
    for (;;) {
      let c = b[p]!;
      while (c <= 32 || c === COMMA) c = b[++p]!;
      if (p >= end) {
        this.#at = end;
        return false;
      }
      if (c !== OPEN) {
        this.#at = p;
        return this.#betweenEvents(c);
      }
      const after = parseEvent(b, p, end, fields, strings, false);
      if (after < 0) {
        this.#at = p;
        return after === CUT ? this.#wait(this.#state) : this.#broken();
      }
      this.#inGarbage = false;
      // Before the handler runs: problems it reports name where the event starts.
      this.#at = p;
      if (samples) handler.sampleEvent(b, fields);
      else handler.event(b, fields);
      p = after;
    }
  }

  #betweenEvents(c: number): boolean {
    if (c === CLOSE_ARRAY) {
      this.#at++;
      this.#state = this.#inObject ? "object" : "top";
      return true;
    }
    return this.#garbage(c);
  }

  /** Outside every array: an array, an event, the file's object, or the end. */
  #top(): boolean {
    const b = this.#b;
    let p = this.#at;
    while ((b[p]! <= 32 || b[p] === COMMA) && p < this.#end) p++;
    this.#at = p;
    if (p >= this.#end) return false;
    const c = b[p]!;
    if (c === OPEN_ARRAY) {
      this.#at++;
      this.#state = "events";
      return true;
    }
    if (c === CLOSE_ARRAY && this.#hasBareEvents) {
      // The end of an array whose start was left out.
      this.#at++;
      return true;
    }
    if (c === 0xef && this.#end - p < 3) return this.#wait("top");
    if (c === 0xef && b[p + 1] === 0xbb && b[p + 2] === 0xbf) {
      this.#at += 3;
      return true;
    }
    if (c !== OPEN) return this.#garbage(c);
    const after = parseEvent(b, p, this.#end, this.#fields, this.#strings, true);
    const isEvent = after >= 0 && this.#fields.phase !== 0;
    if (after === CUT && this.#end - p < LOOK_AHEAD_BYTES) return this.#wait("top");
    if (isEvent) {
      this.#inGarbage = false;
      this.#hasBareEvents = true;
      this.#handler.event(b, this.#fields);
      this.#at = after;
    } else if (after === CONTAINER || after === CUT || after >= 0) {
      this.#at = p + 1;
      this.#inObject = true;
      this.#state = "object";
    } else return this.#broken();
    return true;
  }

  /** Members of the file's object. */
  #object(): boolean {
    const b = this.#b;
    const end = this.#end;
    let p = this.#at;
    while ((b[p]! <= 32 || b[p] === COMMA) && p < end) p++;
    this.#at = p;
    if (p >= end) return false;
    if (b[p] === CLOSE) {
      this.#at++;
      this.#inObject = false;
      this.#state = "top";
      return true;
    }
    if (b[p] !== QUOTE) return this.#garbage(b[p]!);
    const keyTo = skipValue(b, p, end);
    if (keyTo < 0) return this.#wait("object");
    let v = keyTo;
    while (b[v]! <= 32) v++;
    if (v >= end) return this.#wait("object");
    if (b[v] !== COLON) return this.#broken();
    v++;
    while (b[v]! <= 32) v++;
    if (v >= end) return this.#wait("object");
    const key = new TextDecoder().decode(b.subarray(p + 1, keyTo - 1));
    if (b[v] === OPEN_ARRAY && (key === "traceEvents" || key === "samples")) {
      this.#at = v + 1;
      this.#state = key === "samples" ? "samples" : "events";
      return true;
    }
    const after = skipValue(b, v, end);
    if (after === CUT) return this.#wait("object");
    if (after < 0) return this.#broken();
    this.#handler.member(key, b, v, after);
    this.#at = after;
    return true;
  }

  /** What is at #at is not whole. Waits for more bytes, or passes over it when it is too long. */
  #wait(back: State): boolean {
    const have = this.#end - this.#at;
    if (have <= MAX_EVENT_BYTES) {
      // Half as much again: re-reading costs at most three times the bytes.
      this.#wanted = Math.min(have + Math.max(1, have >> 1), MAX_EVENT_BYTES + 1);
      return false;
    }
    this.#handler.tooLong(this.byteOffset);
    this.#skipDepth = 0;
    this.#skipString = this.#skipEscape = false;
    this.#skipTo = back;
    this.#state = "skip";
    return true;
  }

  /** Passes over one value (or, in an object, a name and its value) without keeping it. */
  #skip(): boolean {
    const b = this.#b;
    for (let p = this.#at; p < this.#end; p++) {
      const c = b[p]!;
      if (this.#skipString) {
        if (this.#skipEscape) this.#skipEscape = false;
        else if (c === 92) this.#skipEscape = true;
        else if (c === QUOTE) this.#skipString = false;
        continue;
      }
      if (c === QUOTE) this.#skipString = true;
      else if (c === OPEN || c === OPEN_ARRAY) this.#skipDepth++;
      else if (c === CLOSE || c === CLOSE_ARRAY || c === COMMA) {
        const closes = c !== COMMA && --this.#skipDepth === 0;
        if (closes || (c === COMMA && this.#skipDepth === 0) || this.#skipDepth < 0) {
          // A bracket below zero closes what is around: left for that.
          this.#at = this.#skipDepth < 0 ? p : p + 1;
          this.#state = this.#skipTo;
          return true;
        }
      }
    }
    this.#at = this.#end;
    return false;
  }

  /** An object that is no JSON: on from the next brace, in the hope of a whole event. */
  #broken(): boolean {
    if (!this.#inGarbage) this.#handler.garbage(this.byteOffset);
    this.#inGarbage = true;
    this.#at++;
    return true;
  }

  #garbage(c: number): boolean {
    // "//" and "#" lines are comments: reported once, passed over whole.
    if (c === 0x2f || c === 0x23) {
      if (!this.#inGarbage) this.#handler.garbage(this.byteOffset);
      this.#skipTo = this.#state;
      this.#state = "line";
      return true;
    }
    return this.#broken();
  }

  #line(): boolean {
    const newline = this.#b.indexOf(10, this.#at);
    if (newline < 0 || newline >= this.#end) {
      this.#at = this.#end;
      return false;
    }
    this.#at = newline + 1;
    this.#state = this.#skipTo;
    this.#inGarbage = false;
    return true;
  }
}
