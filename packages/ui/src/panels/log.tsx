/** What was lost or odd, and what the trace was made with. */
import type { Problem } from "@kymo/trace";
import type { Page } from "../page.tsx";
import { formatCount, formatDuration } from "../words.ts";

export function Log({ page }: { page: Page }) {
  const { store, timeline } = page;
  const problems = store.problems.value;
  const metadata = Object.entries(store.summary.value?.metadata ?? {});
  return (
    <div class="log">
      <section class="grow">
        <h3>{problems.length === 0 ? "No problems" : "Problems"}</h3>
        {problems.length === 0 ? (
          <p class="muted">Nothing was lost, and every record could be read.</p>
        ) : (
          <table>
            <thead>
              <tr>
                <th>What</th>
                <th class="right">Count</th>
                <th>Why</th>
                <th>Where</th>
              </tr>
            </thead>
            <tbody>
              {problems.slice(0, 1000).map((problem, i) => (
                <tr key={i}>
                  <td>{problem.kind}</td>
                  <td class="num right">
                    {problem.count === undefined ? "" : formatCount(problem.count)}
                  </td>
                  <td>{problem.message}</td>
                  <td>
                    <Where page={page} problem={problem} startNs={timeline.summary.fromNs} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </section>
      {metadata.length > 0 && (
        <section>
          <h3>Made with</h3>
          <dl class="facts-list">
            {metadata.map(([key, value]) => (
              <div key={key}>
                <dt>{key}</dt>
                <dd>{value}</dd>
              </div>
            ))}
          </dl>
        </section>
      )}
    </div>
  );
}

function Where({ page, problem, startNs }: { page: Page; problem: Problem; startNs: number }) {
  const { cpu, from, to, byteOffset } = problem;
  const words = [
    ...(cpu === undefined ? [] : [`CPU ${cpu}`]),
    ...(byteOffset === undefined ? [] : [`byte ${byteOffset}`]),
  ].join(", ");
  const start = from ?? to;
  const end = to ?? from;
  if (start === undefined || end === undefined) return <>{words}</>;
  return (
    <>
      {words}{" "}
      <button
        type="button"
        class="link"
        onClick={() => {
          const air = Math.max(end - start, 1e5);
          page.timeline.easeTo({ from: start - air, to: end + air });
        }}
      >
        {formatDuration(Math.max(0, start - startNs))}
        {end > start ? `, for ${formatDuration(end - start)}` : ""}
      </button>
    </>
  );
}
