/** What is under the pointer, beside it: never below it. */
import type { EventDetails } from "@kymo/trace/engine";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Page } from "../page.tsx";
import { cutText, formatCount, formatDuration, formatShare, stateWords } from "../words.ts";
import { argText } from "./args.tsx";

const GAP = 16;

export function Tooltip({ page }: { page: Page }) {
  const tip = page.store.tip.value;
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = box.current;
    if (!element || !tip) return;
    const { width, height } = element.getBoundingClientRect();
    const right = tip.x + GAP + width <= innerWidth - 4;
    const x = right ? tip.x + GAP : Math.max(4, tip.x - GAP - width);
    const below = tip.y + GAP + height <= innerHeight - 4;
    const y = below ? tip.y + GAP : Math.max(4, tip.y - GAP - height);
    element.style.transform = `translate(${Math.round(x)}px, ${Math.round(y)}px)`;
  });
  if (!tip) return null;
  const { details, losses } = tip;
  return (
    <div class="tooltip" role="tooltip" ref={box}>
      {details && <Body details={details} startNs={page.timeline.summary.fromNs} />}
      {losses.slice(0, 3).map((loss) => (
        <div class="loss" key={`${loss.cpu} ${loss.from}`}>
          <strong>
            {loss.count === undefined ? "Events" : formatCount(loss.count)} lost
            {loss.cpu === undefined ? "" : ` on CPU ${loss.cpu}`}
          </strong>{" "}
          {loss.message}
        </div>
      ))}
    </div>
  );
}

function Body({ details, startNs }: { details: EventDetails; startNs: number }) {
  const at = formatDuration(details.ts - startNs);
  const path = details.path.map((each) => cutText(each, 120)).join(" › ");
  if (details.kind === "thread_state") {
    const words = stateWords(stateOf(details));
    return (
      <>
        <strong>
          {words.name} <span class="num">{formatDuration(details.dur)}</span>
        </strong>
        <div class="sentence">{stateSentence(details)}</div>
        <div class="path">{path}</div>
      </>
    );
  }
  const args = Object.entries(details.args).slice(0, 3);
  const isSlice = details.kind === "slice";
  return (
    <>
      <strong>{cutText(details.name, 300)}</strong>
      <div class="numbers">
        {details.kind !== "instant" && details.kind !== "sample" && details.kind !== "counter" && (
          <span>
            dur <b>{formatDuration(details.dur)}</b>
          </span>
        )}
        {isSlice && details.selfNs >= 0 && details.dur > 0 && (
          <span>
            self <b>{formatShare(details.selfNs / details.dur)}</b>
          </span>
        )}
        {isSlice && details.percentile >= 0 && (
          <span>
            p<b>{Math.round(details.percentile)}</b> of {formatCount(details.sameName)} such
          </span>
        )}
        <span>
          at <b>{at}</b>
        </span>
      </div>
      {!isSlice &&
        details.facts.slice(0, 4).map(({ label, value }) => (
          <div class="fact" key={label}>
            <span>{label}</span> {cutText(value, 200)}
          </div>
        ))}
      {args.map(([key, value]) => (
        <div class="fact" key={key}>
          <span>{cutText(key, 60)}</span> {cutText(argText(value), 200)}
        </div>
      ))}
      {details.stack
        .slice(-3)
        .reverse()
        .map((frame, i) => (
          <div class="fact frame" key={i}>
            {i === 0 ? "" : "← "}
            {cutText(frame.name, 200)}
          </div>
        ))}
      <div class="path">{path}</div>
    </>
  );
}

/** The kernel's letter, out of the State fact ("Sleeping (S)"). */
function stateOf(details: EventDetails): string {
  const state = details.facts.find(({ label }) => label === "State")?.value ?? details.name;
  return /\(([^()]+)\)$/.exec(state)?.[1] ?? details.name;
}

/** "in read · woken by server › worker 2" */
export function stateSentence(details: EventDetails): string {
  const fact = (label: string) => details.facts.find((each) => each.label === label)?.value;
  const parts = [stateWords(stateOf(details)).meaning];
  const cpu = fact("CPU");
  if (cpu !== undefined) parts[0] = `on CPU ${cpu}`;
  const wait = fact("In");
  if (wait !== undefined) parts[0] = `in ${wait}`;
  const waker = fact("Woken by") ?? fact("Ended by");
  if (waker !== undefined) parts.push(`woken by ${waker}`);
  return parts.filter(Boolean).join(" · ");
}
