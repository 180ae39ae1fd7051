/** Every table of a trace by name, taken anew when the trace has grown. */
import type { Trace } from "@kymo/trace";
import { type ArgColumns, argColumns } from "./arg-columns.ts";
import type { TableSnapshot } from "./column.ts";
import {
  argsTable,
  boundsTable,
  clockSnapshotTable,
  flameTable,
  flowStepTable,
  flowTable,
  lifeTable,
  logTable,
  metadataTable,
  problemTable,
  processTable,
  stackFrameTable,
  threadTable,
  trackTable,
} from "./context-tables.ts";
import {
  counterTable,
  instantTable,
  Slices,
  sampleTable,
  schedTable,
  sqlName,
  threadStateTable,
  typedTable,
} from "./event-tables.ts";
import type { TableSource } from "./scan.ts";
import { TrackIds } from "./track-ids.ts";

/** The tables that every trace has, in the order they are documented. */
const makers: { readonly [name: string]: (view: TraceView) => TableSnapshot } = {
  slice: ({ slices }) => slices.table(),
  instant: ({ trace, ids }) => instantTable(trace, ids),
  counter: ({ trace }) => counterTable(trace),
  sched: ({ trace }) => schedTable(trace),
  thread_state: ({ trace, ids }) => threadStateTable(trace, ids),
  sample: ({ trace, ids }) => sampleTable(trace, ids),
  thread: ({ trace, ids }) => threadTable(trace, ids),
  process: ({ trace, ids }) => processTable(trace, ids),
  track: ({ trace, ids }) => trackTable(trace, ids),
  stack_frame: ({ trace }) => stackFrameTable(trace),
  args: (view) => argsTable(() => view.args),
  flow: ({ trace }) => flowTable(trace),
  flow_step: ({ trace }) => flowStepTable(trace),
  log: ({ trace, ids }) => logTable(trace, ids),
  life: ({ trace, ids }) => lifeTable(trace, ids),
  problem: ({ trace }) => problemTable(trace),
  metadata: ({ trace }) => metadataTable(trace),
  clock_snapshot: ({ trace }) => clockSnapshotTable(trace),
  trace_bounds: ({ trace }) => boundsTable(trace),
};
const FLAMEGRAPH = "callstack_flamegraph";
export const tableNames: readonly string[] = Object.keys(makers);

/** A trace at one moment. What is costly is made when it is first asked for. */
export class TraceView {
  readonly trace: Trace;
  readonly ids: TrackIds;
  readonly #tables = new Map<string, TableSnapshot>();
  #slices: Slices | undefined;
  #args: ArgColumns | undefined;
  constructor(trace: Trace) {
    this.trace = trace;
    this.ids = new TrackIds(trace);
  }
  get slices(): Slices {
    this.#slices ??= new Slices(this.trace, this.ids);
    return this.#slices;
  }
  get args(): ArgColumns {
    this.#args ??= argColumns(this.trace);
    return this.#args;
  }
  table(name: string, make: (view: TraceView) => TableSnapshot): TableSnapshot {
    let table = this.#tables.get(name);
    if (table === undefined) {
      table = make(this);
      this.#tables.set(name, table);
    }
    return table;
  }
}

/** The view of the trace as it is now; the last one again while nothing was added. */
export function viewer(trace: Trace): () => TraceView {
  let view: TraceView | undefined;
  let version = trace.version;
  return () => {
    if (view === undefined || version !== trace.version) {
      view = new TraceView(trace);
      version = trace.version;
    }
    return view;
  };
}

/** What the database declares for a trace: its tables, the declared event types, and the tables with parameters. */
export function tableSources(
  trace: Trace,
  view: () => TraceView,
): { readonly plain: readonly TableSource[]; readonly withParameters: readonly TableSource[] } {
  const plain = Object.entries(makers).map(([name, make]) => ({
    name,
    take: () => view().table(name, make),
  }));
  const typed = typedNames(trace).map((name, index) => ({
    name,
    take: () => view().table(name, (at) => typedTable(at.trace, at.ids, index, () => at.args)),
  }));
  const withParameters: TableSource[] = [
    {
      name: FLAMEGRAPH,
      parameters: 2,
      take: ([from, to]) => flameTable(trace, from ?? null, to ?? null),
    },
  ];
  return { plain: [...plain, ...typed], withParameters };
}

/** A table name for each declared event type: its own, or `event_NAME` where a table has that name already. */
export function typedNames(trace: Trace): string[] {
  const taken = new Set(
    [...tableNames, ...viewNames, FLAMEGRAPH].map((name) => name.toLowerCase()),
  );
  return trace.eventTypes.map(({ name }) => {
    let free = sqlName(name, "event");
    while (taken.has(free.toLowerCase())) free = `event_${free}`;
    taken.add(free.toLowerCase());
    return free;
  });
}

/** Names that views.ts declares over the tables. */
export const viewNames: readonly string[] = [
  "slices",
  "sched_slice",
  "thread_track",
  "process_track",
  "cpu_track",
  "counter_track",
  "thread_slice",
  "process_slice",
  "thread_or_process_slice",
  "perf_sample",
  "stack_profile_callsite",
  "stack_profile_frame",
];
