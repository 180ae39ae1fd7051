/**
 * One trace event: bytes of a JSON object → its fields, without an object.
 *
 *     {"ph":"X","name":"draw","cat":"gpu","pid":1,"tid":2,"ts":10.25,"dur":3,"args":{…}}
 *         │          └ interned        │                 └ µs and ns apart     └ a byte range, read when wanted
 *
 * A member given twice: the last one wins. Members that have no field here are kept as byte ranges (`extras`).
 */
import { EMPTY_STRING, type StringId } from "../../model/sink.ts";
import {
  ascii,
  BACKSLASH,
  BAD,
  CUT,
  hexDigit,
  QUOTE,
  skipLiteral,
  skipString,
  skipValue,
  spells,
} from "../../wire/json-bytes.ts";
import { HASH_START, HASH_STEP, type JsonStrings } from "../../wire/json-strings.ts";

/** `parse` met a member "traceEvents": this object is the file, not an event. */
export const CONTAINER = -3;
/** Members kept as extras, at most. */
const MAX_EXTRAS = 64;

const COLON = 58;
const COMMA = 44;
const CLOSE = 0x7d;
const OPEN = 0x7b;
const OPEN_ARRAY = 0x5b;

export class EventFields {
  /** Character code of the phase; 0: none. */
  phase = 0;
  name: StringId = EMPTY_STRING;
  /** The name's body in the buffer, as it is written there. */
  nameFrom = 0;
  nameTo = 0;
  category: StringId = EMPTY_STRING;
  /** Time: whole µs and the ns left over, of the same sign; NaN: none. Apart, because epoch µs × 1000 is past 2^53. */
  tsUs: number = Number.NaN;
  tsNs = 0;
  /** ns; NaN: none. */
  dur: number = Number.NaN;
  /** NaN: not a number; the text's range is in pidFrom, pidTo (0, 0: no pid at all). */
  pid: number = Number.NaN;
  pidFrom = 0;
  pidTo = 0;
  tid: number = Number.NaN;
  tidFrom = 0;
  tidTo = 0;
  /** Ranges of whole values in the buffer; 0, 0: none. */
  argsFrom = 0;
  argsTo = 0;
  idFrom = 0;
  idTo = 0;
  id2From = 0;
  id2To = 0;
  bindIdFrom = 0;
  bindIdTo = 0;
  stackFrom = 0;
  stackTo = 0;
  /** Interned text of "scope". */
  idScope: StringId = EMPTY_STRING;
  /** First character of "s" (an instant's scope) and of "bp" (a flow's binding); 0: none. */
  scope = 0;
  bindPoint = 0;
  flowIn = false;
  flowOut = false;
  /** Key from, key to, value from, value to. */
  readonly extras: Uint32Array = new Uint32Array(4 * MAX_EXTRAS);
  extraCount = 0;

  /** A member that few events have was set: `clear` need not touch those otherwise. */
  isUnusual = false;

  clear(): void {
    this.phase = 0;
    this.name = EMPTY_STRING;
    this.nameFrom = this.nameTo = 0;
    this.category = EMPTY_STRING;
    this.tsUs = Number.NaN;
    this.tsNs = 0;
    this.dur = Number.NaN;
    this.pid = Number.NaN;
    this.pidFrom = this.pidTo = 0;
    this.tid = Number.NaN;
    this.tidFrom = this.tidTo = 0;
    this.argsFrom = this.argsTo = 0;
    if (this.isUnusual) this.#clearUnusual();
  }

  #clearUnusual(): void {
    this.isUnusual = false;
    this.idFrom = this.idTo = 0;
    this.id2From = this.id2To = 0;
    this.bindIdFrom = this.bindIdTo = 0;
    this.stackFrom = this.stackTo = 0;
    this.idScope = EMPTY_STRING;
    this.scope = this.bindPoint = 0;
    this.flowIn = this.flowOut = false;
    this.extraCount = 0;
  }

  /** Takes off the thread's CPU times of an end: a slice keeps those of its begin. */
  dropEndTimes(b: Uint8Array): void {
    let kept = 0;
    for (let i = 0; i < this.extraCount; i++) {
      const [from, to] = [this.extras[4 * i]!, this.extras[4 * i + 1]!];
      if (spells(b, from, to, "tts") || spells(b, from, to, "tdur")) continue;
      this.extras.copyWithin(4 * kept++, 4 * i, 4 * i + 4);
    }
    this.extraCount = kept;
  }

  /** Takes off the last extra when it is `name`. @returns whether it was */
  takeLastExtra(b: Uint8Array, name: string): boolean {
    const last = 4 * (this.extraCount - 1);
    const isNamed = last >= 0 && spells(b, this.extras[last]!, this.extras[last + 1]!, name);
    if (isNamed) this.extraCount--;
    return isNamed;
  }
}

/** Reads numbers of µs: `us` and `ns` (the part of a µs, rounded to ns) hold the last one read. */
export class Micros {
  us: number = Number.NaN;
  ns = 0;

  /** @returns the position after the number at `at` (a JSON number, NaN, or either in quotes), or CUT or BAD. */
  read(b: Uint8Array, at: number, end: number): number {
    const quoted = b[at] === QUOTE;
    const start = quoted ? at + 1 : at;
    let p = start;
    let c = b[p]!;
    const negative = c === 45;
    if (negative) c = b[++p]!;
    const digits = p;
    let us = 0;
    while (c >= 48 && c <= 57) {
      us = us * 10 + (c - 48);
      c = b[++p]!;
    }
    let ns = 0;
    let plain = p > digits && p - digits <= 16;
    if (c === 46) {
      c = b[++p]!;
      let weight = 100;
      while (c >= 48 && c <= 57) {
        if (weight >= 1) ns += (c - 48) * weight;
        // The fourth digit rounds; what follows it cannot matter by more than half a ns.
        else if (weight === 0.1 && c >= 53) ns += 1;
        weight = weight === 100 ? 10 : weight === 10 ? 1 : weight === 1 ? 0.1 : 0;
        c = b[++p]!;
      }
    }
    if (quoted ? c !== QUOTE : c !== COMMA && c !== CLOSE && c > 32) plain = false;
    if (!plain) return this.#unusual(b, at, start, quoted, end);
    if (ns >= 1000) {
      ns -= 1000;
      us += 1;
    }
    this.us = negative ? -us : us;
    this.ns = negative ? -ns : ns;
    p += quoted ? 1 : 0;
    return p >= end && !quoted ? CUT : p > end ? CUT : p;
  }

  /** Exponents, more than 16 digits, NaN, Infinity, null, and what is no number at all (NaN then). */
  #unusual(b: Uint8Array, at: number, start: number, quoted: boolean, end: number): number {
    const after = quoted ? skipString(b, start, end) : skipValue(b, at, end);
    if (after < 0) return after;
    const value = Number(
      ascii(b, start, Math.min(quoted ? after - 1 : after, start + 64)).trim() || "NaN",
    );
    this.us = Number.isFinite(value) ? Math.trunc(value) : Number.NaN;
    this.ns = Number.isFinite(value) ? Math.round((value - this.us) * 1000) : 0;
    return after;
  }
}

const micros = new Micros();

/**
 * Reads the object whose `{` is at `at` into `fields` (cleared first).
 * @param container  look out for "traceEvents": an object at the top of the file may be the whole file
 * @returns          the position after its `}`, or CUT, BAD or CONTAINER
 */
export function parseEvent(
  b: Uint8Array,
  at: number,
  end: number,
  fields: EventFields,
  strings: JsonStrings,
  container: boolean,
): number {
  fields.clear();
  let p = at + 1;
  for (;;) {
    let c = b[p]!;
    while (c <= 32 || c === COMMA) c = b[++p]!;
    if (c === CLOSE) return p + 1;
    if (c !== QUOTE) return BAD;
    const keyFrom = ++p;
    if (p > end) return CUT;
    c = b[p]!;
    while (c !== QUOTE) {
      if (c === BACKSLASH) p++;
      c = b[++p]!;
    }
    const keyTo = p++;
    if (p > end) return CUT;
    c = b[p]!;
    while (c <= 32) c = b[++p]!;
    if (p >= end) return CUT;
    if (c !== COLON) return BAD;
    c = b[++p]!;
    while (c <= 32) c = b[++p]!;
    if (p >= end) return CUT;
    const field = fieldOf(b, keyFrom, keyTo);
    if (field <= LAST_TEXT && c === QUOTE) {
      // name, cat, ph, and everything else that is short text
      const from = ++p;
      let hash = HASH_START;
      let escaped = false;
      c = b[p]!;
      while (c !== QUOTE) {
        if (c === BACKSLASH) {
          escaped = true;
          hash = Math.imul(hash ^ c, HASH_STEP);
          c = b[++p]!;
        }
        hash = Math.imul(hash ^ c, HASH_STEP);
        c = b[++p]!;
      }
      if (p >= end) return CUT;
      if (field === NAME) {
        fields.name = strings.id(b, from, p, hash, escaped);
        fields.nameFrom = from;
        fields.nameTo = p;
      } else if (field === CATEGORY) fields.category = strings.id(b, from, p, hash, escaped);
      else if (field === PHASE) fields.phase = p === from + 1 ? b[from]! : 0;
      else {
        fields.isUnusual = true;
        if (field === ID_SCOPE) fields.idScope = strings.id(b, from, p, hash, escaped);
        else if (field === SCOPE) fields.scope = b[from]!;
        else fields.bindPoint = b[from]!;
      }
      p++;
      continue;
    }
    if (field === TS || field === DUR) {
      p = micros.read(b, p, end);
      if (p < 0) return p;
      if (field === TS) {
        fields.tsUs = micros.us;
        fields.tsNs = micros.ns;
      } else fields.dur = micros.us * 1000 + micros.ns;
      continue;
    }
    const from = p;
    if (field === PID || field === TID) {
      let number = 0;
      while (c >= 48 && c <= 57) {
        number = number * 10 + (c - 48);
        c = b[++p]!;
      }
      if (p === from || p - from > 15 || (c !== COMMA && c !== CLOSE && c > 32)) {
        p = skipValue(b, from, end);
        if (p < 0) return p;
        number = numberOf(b, from, p);
      } else if (p >= end) return CUT;
      if (field === PID) {
        fields.pid = number;
        fields.pidFrom = from;
        fields.pidTo = p;
      } else {
        fields.tid = number;
        fields.tidFrom = from;
        fields.tidTo = p;
      }
      continue;
    }
    if (c === OPEN || c === OPEN_ARRAY || c === QUOTE) {
      if (field === OTHER && container && c === OPEN_ARRAY && isTraceEvents(b, keyFrom, keyTo))
        return CONTAINER;
      p = skipValue(b, p, end);
    } else p = skipLiteral(b, p, end);
    if (p < 0) return p;
    if (field === ARGS) {
      fields.argsFrom = from;
      fields.argsTo = p;
      continue;
    }
    fields.isUnusual = true;
    switch (field) {
      case ID:
        fields.idFrom = from;
        fields.idTo = p;
        break;
      case ID2:
        fields.id2From = from;
        fields.id2To = p;
        break;
      case BIND_ID:
        fields.bindIdFrom = from;
        fields.bindIdTo = p;
        break;
      case STACK:
        fields.stackFrom = from;
        fields.stackTo = p;
        break;
      case FLOW_IN:
        fields.flowIn = b[from] === 0x74;
        break;
      case FLOW_OUT:
        fields.flowOut = b[from] === 0x74;
        break;
      default:
        if (fields.extraCount < MAX_EXTRAS)
          fields.extras.set([keyFrom, keyTo, from, p], 4 * fields.extraCount++);
    }
  }
}

// Fields whose value is text come first.
const NAME = 0;
const CATEGORY = 1;
const PHASE = 2;
const SCOPE = 3;
const BIND_POINT = 4;
const ID_SCOPE = 5;
const LAST_TEXT = 5;
const TS = 6;
const DUR = 7;
const PID = 8;
const TID = 9;
const ARGS = 10;
const ID = 11;
const ID2 = 12;
const BIND_ID = 13;
const STACK = 14;
const FLOW_IN = 15;
const FLOW_OUT = 16;
const OTHER = 17;

/** The field of a key. Keys are told apart by length first: most events have eight members. */
function fieldOf(b: Uint8Array, from: number, to: number): number {
  const first = b[from]!;
  const second = b[from + 1]!;
  const third = b[from + 2]!;
  switch (to - from) {
    case 1:
      return first === 0x73 ? SCOPE : OTHER;
    case 2:
      if (second === 0x73) return first === 0x74 ? TS : OTHER;
      if (second === 0x68) return first === 0x70 ? PHASE : OTHER;
      if (second === 0x64) return first === 0x69 ? ID : OTHER;
      if (second === 0x66) return first === 0x73 ? STACK : OTHER;
      return first === 0x62 && second === 0x70 ? BIND_POINT : OTHER;
    case 3:
      if (second === 0x69 && third === 0x64)
        return first === 0x70 ? PID : first === 0x74 ? TID : OTHER;
      if (first === 0x64) return second === 0x75 && third === 0x72 ? DUR : OTHER;
      if (first === 0x63) return second === 0x61 && third === 0x74 ? CATEGORY : OTHER;
      return first === 0x69 && second === 0x64 && third === 0x32 ? ID2 : OTHER;
    case 4:
      if (first === 0x6e) return is(b, from, "name") ? NAME : OTHER;
      return is(b, from, "args") ? ARGS : OTHER;
    case 5:
      return is(b, from, "scope") ? ID_SCOPE : OTHER;
    case 7:
      if (is(b, from, "bind_id")) return BIND_ID;
      return is(b, from, "flow_in") ? FLOW_IN : OTHER;
    case 8:
      return is(b, from, "flow_out") ? FLOW_OUT : OTHER;
    default:
      return OTHER;
  }
}
function is(b: Uint8Array, at: number, word: string): boolean {
  for (let i = 0; i < word.length; i++) if (b[at + i] !== word.charCodeAt(i)) return false;
  return true;
}
function isTraceEvents(b: Uint8Array, from: number, to: number): boolean {
  return to - from === 11 && is(b, from, "traceEvents");
}

/** A whole number, bare or in quotes, decimal or 0x…; NaN when it is something else. */
export function numberOf(b: Uint8Array, from: number, to: number): number {
  const quoted = b[from] === QUOTE;
  const text = ascii(b, quoted ? from + 1 : from, Math.min(quoted ? to - 1 : to, from + 40));
  return /^(-?\d+(\.\d*)?(e[+-]?\d+)?|0x[\da-f]+)$/i.test(text.trim())
    ? Math.trunc(Number(text))
    : Number.NaN;
}

/** A 64-bit id: a number or "0x…" as it is; any other text by its hash, so that equal texts give equal ids. */
export function idOf(b: Uint8Array, from: number, to: number): bigint {
  const quoted = b[from] === QUOTE;
  const start = quoted ? from + 1 : from;
  const stop = quoted ? to - 1 : to;
  const hex = b[start] === 48 && (b[start + 1]! | 32) === 0x78;
  let plain = 0;
  let i = hex ? start + 2 : start;
  const isPlain = hex ? stop - i <= 12 : stop - i <= 15;
  for (; isPlain && i < stop; i++) {
    const digit = hexDigit(b[i]!);
    if (digit < 0 || (!hex && digit > 9)) break;
    plain = plain * (hex ? 16 : 10) + digit;
  }
  if (isPlain && i === stop) return BigInt(plain);
  const text = ascii(b, start, Math.min(stop, start + 64));
  if (/^(\d{1,20}|0x[\da-f]{1,16})$/i.test(text)) return BigInt.asUintN(64, BigInt(text));
  let hash = 0xcbf29ce484222325n;
  for (let j = start; j < stop; j++)
    hash = BigInt.asUintN(64, (hash ^ BigInt(b[j]!)) * 0x100000001b3n);
  return hash;
}
