/** What happened in the selected area: time by thread state, by name; counters. */
import type { EngineMessage } from "@kymo/trace/engine";
import { formatValue, stateClass, stateInk, stateTitle } from "@kymo/trace/engine";
import { useEffect, useState } from "preact/hooks";
import type { Page } from "../page.tsx";
import { cutText, formatCount, formatDuration, formatShare, stateWords } from "../words.ts";
import { colorOf, fillOfName } from "./fill.ts";

type Answer = Extract<EngineMessage, { type: "area" }>;
const MOST_NAMES = 500;

export function Stats({ page }: { page: Page }) {
  const { store, client } = page;
  const area = store.area.value;
  const [answer, setAnswer] = useState<Answer | undefined>(undefined);
  useEffect(() => {
    if (!area) return setAnswer(undefined);
    return latest(
      page,
      () => client.area({ from: area.from, to: area.to, rows: area.rows }),
      setAnswer,
    );
  }, [area, page, client]);
  if (!area)
    return (
      <p class="muted hint">
        Drag over the timeline to select an area; what happened in it is counted here. Drag on the
        ruler to take all tracks.
      </p>
    );
  if (!answer) return <p class="muted hint">counting…</p>;
  const whole = answer.states.reduce((sum, { totalNs }) => sum + totalNs, 0);
  return (
    <div class="stats">
      <section>
        <h3>
          {formatDuration(area.to - area.from)} · {formatCount(area.rows.length)} rows
        </h3>
        {answer.states.length > 0 && (
          <table>
            <thead>
              <tr>
                <th>Thread state</th>
                <th class="right">Time</th>
                <th class="right">Share</th>
              </tr>
            </thead>
            <tbody>
              {answer.states.map(({ state, totalNs }) => {
                const ink = stateInk(store.theme.value, stateClass(letterOf(state)));
                return (
                  <tr key={state}>
                    <td>
                      <i
                        class="swatch"
                        style={{
                          background: colorOf(ink.rgb),
                          opacity: Math.max(0.25, ink.alpha / 255),
                        }}
                      />
                      {stateWords(letterOf(state)).name}
                    </td>
                    <td class="num right">{formatDuration(totalNs)}</td>
                    <td class="num right">{formatShare(totalNs / whole)}</td>
                  </tr>
                );
              })}
            </tbody>
          </table>
        )}
        {answer.counters.length > 0 && (
          <table>
            <thead>
              <tr>
                <th>Counter</th>
                <th class="right">Min</th>
                <th class="right">Mean</th>
                <th class="right">Max</th>
              </tr>
            </thead>
            <tbody>
              {answer.counters.map(({ name, min, mean, max, unit }) => (
                <tr key={name}>
                  <td>{cutText(name, 200)}</td>
                  <td class="num right">{short(min, unit)}</td>
                  <td class="num right">{short(mean, unit)}</td>
                  <td class="num right">{short(max, unit)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </section>
      <section class="grow">
        {answer.names.length > 0 ? (
          <table>
            <thead>
              <tr>
                <th>Name</th>
                <th class="right">Count</th>
                <th class="right">Total</th>
                <th class="right">Self</th>
                <th class="right">Longest</th>
              </tr>
            </thead>
            <tbody>
              {answer.names
                .slice(0, MOST_NAMES)
                .map(({ name, syscall, count, totalNs, selfNs, maxNs }) => (
                  <tr key={name}>
                    <td class="name">
                      <i class="swatch" style={{ background: fillOfName(name, syscall) }} />
                      <button
                        type="button"
                        class="link"
                        onClick={() => page.searching.type(name.slice(0, 1000))}
                      >
                        {cutText(name, 300)}
                      </button>
                    </td>
                    <td class="num right">{formatCount(count)}</td>
                    <td class="num right">{formatDuration(totalNs)}</td>
                    <td class="num right">{formatDuration(selfNs)}</td>
                    <td class="num right">{formatDuration(maxNs)}</td>
                  </tr>
                ))}
            </tbody>
          </table>
        ) : (
          <p class="muted">No slices start in this area.</p>
        )}
      </section>
    </div>
  );
}

const letters = ["Running", "R", "R+", "S", "D", "I", "T", "X"];
/** The engine counts by the state's title; colours and words go by the kernel's letter. */
function letterOf(state: string): string {
  return letters.find((letter) => stateTitle(letter) === state) ?? state;
}

function short(value: number, unit: string | undefined): string {
  if (unit && Number.isFinite(value)) return formatValue(value, unit);
  return Number.isFinite(value) ? Number(value.toPrecision(6)).toLocaleString("en") : "–";
}

/**
 * Asks at once when nothing is under way for this panel, else after the answer: dragging an area asks as fast as
 * the engine answers, and only for the newest area.
 */
const underWay = new WeakMap<Page, { next: (() => void) | undefined }>();
export function latest<T>(
  page: Page,
  ask: () => Promise<T>,
  take: (answer: T) => void,
): () => void {
  let wanted = true;
  const run = () => {
    if (!wanted) return;
    const slot: { next: (() => void) | undefined } = { next: undefined };
    underWay.set(page, slot);
    ask()
      .then(
        (answer) => {
          if (wanted) take(answer);
        },
        (error: unknown) => {
          page.store.spoken.value =
            error instanceof Error ? error.message : "the engine did not answer";
        },
      )
      .finally(() => {
        underWay.delete(page);
        slot.next?.();
      });
  };
  const busy = underWay.get(page);
  if (busy) busy.next = run;
  else run();
  return () => {
    wanted = false;
  };
}
