/**
 * Events in words, from programs that can ask whether a file may be read but cannot pass odd numbers to a system call:
 *
 *     kymo:start:NAME   kymo:stop   kymo:instant:NAME   kymo:counter:NAME=42.5
 *     kymo:flow-start:ID   kymo:flow-step:ID   kymo:flow-end:ID
 */
import type { FlowStep } from "@kymo/trace";

export type Mark =
  | { readonly kind: "start" | "instant"; readonly name: string }
  | { readonly kind: "stop" }
  | { readonly kind: "counter"; readonly name: string; readonly value: number }
  | { readonly kind: "flow"; readonly step: FlowStep; readonly id: bigint }
  /** Begins like a mark and is none. */
  | { readonly kind: "unknown" };

const prefix = "kymo:";
const unknown: Mark = { kind: "unknown" };

/** undefined: a path like any other. */
export function parseMark(text: string): Mark | undefined {
  if (!text.startsWith(prefix)) return undefined;
  const colon = text.indexOf(":", prefix.length);
  const what = text.slice(prefix.length, colon < 0 ? undefined : colon);
  const rest = colon < 0 ? "" : text.slice(colon + 1);
  switch (what) {
    case "start":
    case "instant":
      return { kind: what, name: rest };
    case "stop":
      return { kind: "stop" };
    case "counter":
      return counter(rest);
    case "flow-start":
    case "flow-step":
    case "flow-end":
      return /^\d{1,20}$/.test(rest)
        ? { kind: "flow", step: what.slice("flow-".length) as FlowStep, id: BigInt(rest) }
        : unknown;
    default:
      return unknown;
  }
}

/** The name may have a "=" of its own. */
function counter(text: string): Mark {
  const equals = text.lastIndexOf("=");
  const digits = text.slice(equals + 1).trim();
  const value = Number(digits);
  if (equals < 0 || digits === "" || !Number.isFinite(value)) return unknown;
  return { kind: "counter", name: text.slice(0, equals), value };
}
