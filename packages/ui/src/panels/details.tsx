/** The selected event: facts, arguments, what is around it, its stack, its flows. */
import type { EventDetails, EventRef } from "@kymo/trace/engine";
import type { Page } from "../page.tsx";
import { cutText, formatCount, formatDuration, formatShare } from "../words.ts";
import { Args, argText } from "./args.tsx";
import { stateSentence } from "./tooltip.tsx";

/** Characters of one text in the drawer; copying gives all of it. */
const MOST_SHOWN = 4000;

export function Details({ page }: { page: Page }) {
  const selection = page.store.selection.value;
  if (!selection)
    return <p class="muted hint">Nothing is selected. Click an event; its facts appear here.</p>;
  const { fromNs, originNs } = page.timeline.summary;
  const facts = factsOf(selection, fromNs);
  return (
    <div class="details">
      <section>
        <h2>
          {cutText(selection.name, MOST_SHOWN)}
          <button
            type="button"
            class="plain"
            title="Copy as text"
            onClick={() => void copy(page, selection, facts)}
          >
            Copy
          </button>
        </h2>
        <div class="path">{selection.path.map((each) => cutText(each, 300)).join(" › ")}</div>
        <dl class="facts-list">
          {facts.map(([label, value]) => (
            <div key={label}>
              <dt>{label}</dt>
              <dd class="num">{value}</dd>
            </div>
          ))}
          {selection.facts.map(({ label, value, ref }) => (
            <div key={label}>
              <dt>{label}</dt>
              <dd>{ref ? <Go page={page} to={ref} text={value} /> : value}</dd>
            </div>
          ))}
          <div>
            <dt>Clock</dt>
            <dd class="num">
              {(BigInt(originNs) + BigInt(Math.round(selection.ts))).toString()} ns (
              {page.timeline.summary.clockDomain})
            </dd>
          </div>
        </dl>
        {selection.kind === "thread_state" && <p class="muted">{stateSentence(selection)}</p>}
      </section>
      {Object.keys(selection.args).length > 0 && (
        <section>
          <h3>Arguments</h3>
          <Args args={selection.args} />
        </section>
      )}
      {selection.stack.length > 0 && (
        <section>
          <h3>Stack, innermost first</h3>
          <ol class="stack">
            {selection.stack.toReversed().map((frame, i) => (
              <li key={i}>
                <span>{cutText(frame.name, MOST_SHOWN) || "?"}</span>
                <span class="muted">
                  {frame.file
                    ? `${frame.file}${frame.line > 0 ? `:${frame.line}` : ""}`
                    : frame.module}
                </span>
              </li>
            ))}
          </ol>
        </section>
      )}
      {selection.ancestors.length > 0 && (
        <section>
          <h3>Inside</h3>
          <ol class="links">
            {selection.ancestors.map((each) => (
              <li key={`${each.row}.${each.index}`}>
                <Go page={page} to={each} text={each.name} />
              </li>
            ))}
          </ol>
        </section>
      )}
      {selection.flows.length > 0 && (
        <section>
          <h3>Flows</h3>
          <ol class="links">
            {selection.flows.map(({ step, other }) => (
              <li key={`${step}${other.row}.${other.index}`}>
                <span class="muted">{step === "in" ? "from" : "to"}</span>{" "}
                <Go page={page} to={other} text={other.name} />{" "}
                <span class="num muted">{formatDuration(Math.abs(other.ts - selection.ts))}</span>
              </li>
            ))}
          </ol>
        </section>
      )}
    </div>
  );
}

function Go({ page, to, text }: { page: Page; to: EventRef; text: string }) {
  return (
    <button
      type="button"
      class="link"
      onClick={() =>
        page.timeline.goTo({ row: to.row, index: to.index }).catch(() => {
          page.store.spoken.value = "the engine did not answer";
        })
      }
    >
      {cutText(text, 300)}
    </button>
  );
}

function factsOf(details: EventDetails, fromNs: number): [string, string][] {
  const facts: [string, string][] = [["Start", formatDuration(Math.max(0, details.ts - fromNs))]];
  const { kind, dur, selfNs, percentile, sameName, category } = details;
  if (kind === "slice" || kind === "sched" || kind === "thread_state")
    facts.push(["Duration", dur < 0 ? "still open at the end of the trace" : formatDuration(dur)]);
  if (selfNs >= 0 && dur > 0)
    facts.push(["Self", `${formatDuration(selfNs)} (${formatShare(selfNs / dur)})`]);
  if (percentile >= 0)
    facts.push([
      "Rank",
      percentile > 99.9
        ? `among the longest of ${formatCount(sameName)} of this name`
        : `longer than ${Math.round(percentile)} % of ${formatCount(sameName)} of this name`,
    ]);
  if (category) facts.push(["Category", cutText(category, 300)]);
  return facts;
}

async function copy(page: Page, details: EventDetails, facts: readonly [string, string][]) {
  const lines = [
    details.name,
    details.path.join(" › "),
    ...facts.map(([label, value]) => `${label}: ${value}`),
    ...details.facts.map(({ label, value }) => `${label}: ${value}`),
    ...Object.entries(details.args).map(([key, value]) => `${key} = ${argText(value)}`),
    ...details.stack.toReversed().map((frame) => `  ${frame.name} ${frame.module}`),
  ];
  try {
    await navigator.clipboard.writeText(lines.join("\n"));
    page.store.spoken.value = "copied";
  } catch (error) {
    page.store.spoken.value = `not copied: ${error instanceof Error ? error.message : "blocked"}`;
  }
}
