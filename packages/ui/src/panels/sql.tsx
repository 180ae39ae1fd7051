/** SQL over the trace, when the engine has it. */
import type { EngineMessage } from "@kymo/trace/engine";
import { signal } from "@preact/signals";
import { EngineError } from "../engine/client.ts";
import type { Page } from "../page.tsx";
import { formatCount } from "../words.ts";

type Answer = Extract<EngineMessage, { type: "sql" }>;

const first = `select name, count(*) as n, sum(dur) / 1e6 as total_ms
from slice group by name order by total_ms desc limit 20`;
// Kept while other tabs are shown.
const text = signal(first);
const answer = signal<Answer | undefined>(undefined);
const problem = signal<{ message: string; hint: string } | undefined>(undefined);
const busy = signal(false);
const tookMs = signal(0);

export function Sql({ page }: { page: Page }) {
  return (
    <div class="sql">
      <div class="sql-ask">
        <textarea
          spellcheck={false}
          aria-label="SQL"
          value={text.value}
          onInput={(event) => {
            text.value = event.currentTarget.value;
          }}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
            event.preventDefault();
            void run(page);
          }}
        />
        <div class="sql-head">
          <button
            type="button"
            class="primary"
            disabled={busy.value}
            onClick={() => void run(page)}
          >
            Run
          </button>
          <span class="muted">Ctrl+Enter</span>
          {answer.value && (
            <span class="muted num">
              {formatCount(answer.value.rows.length)} rows
              {answer.value.truncated ? " (more were cut)" : ""} in {Math.round(tookMs.value)} ms
            </span>
          )}
        </div>
      </div>
      {problem.value && (
        <pre class="sql-error" role="alert">
          {problem.value.message}
          {problem.value.hint ? `\n${problem.value.hint}` : ""}
        </pre>
      )}
      {!answer.value && !problem.value && (
        <p class="muted">
          Tables: slice, instant, counter, sched, thread_state, sample, thread, process, track,
          args, flow, problem… A click on a ts shows that moment.
        </p>
      )}
      {answer.value && <Table page={page} answer={answer.value} />}
    </div>
  );
}

async function run({ client }: Page): Promise<void> {
  if (busy.value) return;
  busy.value = true;
  problem.value = undefined;
  const start = performance.now();
  try {
    answer.value = await client.sql({ sql: text.value });
    tookMs.value = performance.now() - start;
  } catch (error) {
    answer.value = undefined;
    problem.value =
      error instanceof EngineError
        ? { message: error.message, hint: error.hint }
        : { message: String(error), hint: "" };
  } finally {
    busy.value = false;
  }
}

function Table({ page, answer: { columns, rows } }: { page: Page; answer: Answer }) {
  const tsColumn = columns.indexOf("ts");
  const durColumn = columns.indexOf("dur");
  const go = (row: readonly (string | number | null)[]) => {
    const { originNs } = page.timeline.summary;
    try {
      const ts = Number(BigInt(row[tsColumn] ?? 0) - BigInt(originNs));
      const dur = Number(row[durColumn] ?? 0);
      const air = Math.max(dur, 10_000) * 0.5;
      page.timeline.easeTo({ from: ts - air, to: ts + Math.max(dur, 0) + air });
    } catch {
      page.store.spoken.value = "this ts is not a whole number of ns";
    }
  };
  return (
    <div class="table-wrap">
      <table>
        <thead>
          <tr>
            {columns.map((column, at) => (
              <th key={column} class={typeof rows[0]?.[at] === "number" ? "right" : ""}>
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, 1000).map((row, at) => (
            <tr key={at}>
              {row.map((cell, column) => (
                <td key={column} class={typeof cell === "number" ? "num right" : ""}>
                  {column === tsColumn ? (
                    <button type="button" class="link" onClick={() => go(row)}>
                      {String(cell)}
                    </button>
                  ) : cell === null ? (
                    <span class="muted">null</span>
                  ) : (
                    String(cell)
                  )}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
