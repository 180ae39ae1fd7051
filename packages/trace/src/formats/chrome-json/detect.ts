/** How sure is it that these bytes are Chrome JSON? By what only a trace has: "traceEvents", or events with a phase. */

/** An event's phase: "ph":"X". */
const PHASE = /"ph"\s*:\s*"[^"]{1,2}"/;
const EVENTS = /"traceEvents"\s*:\s*\[/;
/** Members that stand beside the events, and hardly anywhere else. */
const BESIDE =
  /^\{\s*"(displayTimeUnit|otherData|systemTraceEvents|stackFrames|traceEvents|controllerTraceDataKey|powerTraceAsString)"/;
/** The start of an event that is cut short before its phase. */
const CUT_EVENT = /^\[?\s*\{\s*"(name|ph|cat|ts|pid|tid|args|dur)"\s*:[^{}]*$/;

export function detectChromeJson(head: Uint8Array, fileName: string): number {
  const text = new TextDecoder().decode(head).trimStart();
  const opensJson = text.startsWith("{") || text.startsWith("[");
  if (opensJson && EVENTS.test(text)) return 95;
  if (opensJson && PHASE.test(text)) return 85;
  if (PHASE.test(text)) return EVENTS.test(text) ? 60 : 40;
  if (BESIDE.test(text)) return 60;
  if (CUT_EVENT.test(text)) return 30;
  // Whole and empty.
  if (/^(\[\s*\]?|\{\s*\})\s*$/.test(text)) return fileName.endsWith(".json") ? 25 : 15;
  return 0;
}
