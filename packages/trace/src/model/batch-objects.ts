/** Checks of the plain objects in a batch: the same object with only the known members, or undefined when one is wrong. */
import type {
  ClockDomain,
  ClockInfo,
  EventTypeInfo,
  FrameInfo,
  Problem,
  TrackInfo,
} from "./sink.ts";
import { CLOCK_DOMAINS, FIELD_TYPES, PROBLEM_KINDS, TRACK_KINDS } from "./words.ts";

type Check = (value: unknown) => boolean;
const isText: Check = (value) => typeof value === "string";
const isNumber: Check = (value) => typeof value === "number";
const isBool: Check = (value) => typeof value === "boolean";
const isBig: Check = (value) => typeof value === "bigint";
const oneOf =
  (names: readonly string[]): Check =>
  (value) =>
    names.includes(value as string);

const isDomain = oneOf(CLOCK_DOMAINS);

const CLOCK = { domain: isDomain, originNs: isBig, errorNs: isNumber };
const TRACK = {
  kind: oneOf(TRACK_KINDS),
  name: isText,
};
const TRACK_OPTIONAL = {
  parent: isNumber,
  pid: isNumber,
  tid: isNumber,
  cpu: isNumber,
  parentPid: isNumber,
  unit: isText,
  sortIndex: isNumber,
};
const FRAME = { name: isText };
const FRAME_OPTIONAL = {
  file: isText,
  line: isNumber,
  module: isText,
  buildId: isText,
  address: isBig,
  inlined: isBool,
};
const FIELD = { name: isText, type: oneOf(FIELD_TYPES) };
const PROBLEM = {
  kind: oneOf(PROBLEM_KINDS),
  message: isText,
};
const PROBLEM_OPTIONAL = {
  count: isNumber,
  cpu: isNumber,
  from: isNumber,
  to: isNumber,
  byteOffset: isNumber,
};

export function clockInfo(value: unknown): ClockInfo | undefined {
  return members(value, CLOCK, {}) as ClockInfo | undefined;
}

export function clockReadings(
  value: unknown,
): readonly (readonly [ClockDomain, bigint])[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const good = value.every(
    (pair: unknown) => Array.isArray(pair) && isDomain(pair[0]) && isBig(pair[1]),
  );
  return good ? value : undefined;
}

export function trackInfo(value: unknown): TrackInfo | undefined {
  return members(value, TRACK, TRACK_OPTIONAL) as TrackInfo | undefined;
}

export function eventTypeInfo(value: unknown): EventTypeInfo | undefined {
  const { name, fields } = (value ?? {}) as Record<string, unknown>;
  if (typeof name !== "string" || !Array.isArray(fields)) return undefined;
  const checked = fields.map((field: unknown) => members(field, FIELD, { unit: isText }));
  if (checked.includes(undefined)) return undefined;
  return { name, fields: checked as unknown as EventTypeInfo["fields"] };
}

export function frameInfo(value: unknown): FrameInfo | undefined {
  return members(value, FRAME, FRAME_OPTIONAL) as FrameInfo | undefined;
}

export function problem(value: unknown): Problem | undefined {
  return members(value, PROBLEM, PROBLEM_OPTIONAL) as Problem | undefined;
}

function members(
  value: unknown,
  required: { readonly [name: string]: Check },
  optional: { readonly [name: string]: Check },
): object | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const from = value as Record<string, unknown>;
  const to: Record<string, unknown> = {};
  for (const [name, check] of Object.entries(required)) {
    if (!check(from[name])) return undefined;
    to[name] = from[name];
  }
  for (const [name, check] of Object.entries(optional)) {
    if (from[name] === undefined) continue;
    if (!check(from[name])) return undefined;
    to[name] = from[name];
  }
  return to;
}
