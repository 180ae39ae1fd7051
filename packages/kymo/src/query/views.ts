/** SQL that every database starts with: views with the names that Perfetto's users know, macros, small helpers. */

/** After the tables; each statement by itself. */
export const viewStatements: readonly string[] = [
  "CREATE VIEW slices AS FROM slice",
  "CREATE VIEW sched_slice AS FROM sched",
  "CREATE VIEW thread_track AS SELECT id, name, type, parent_id, utid FROM track WHERE type = 'thread'",
  "CREATE VIEW process_track AS SELECT id, name, type, parent_id, upid FROM track WHERE type = 'process'",
  "CREATE VIEW cpu_track AS SELECT id, name, type, parent_id, cpu FROM track WHERE type = 'cpu'",
  "CREATE VIEW counter_track AS SELECT id, name, type, parent_id, utid, upid, cpu, unit FROM track WHERE type = 'counter'",
  `CREATE VIEW thread_slice AS
     SELECT s.id, s.ts, s.dur, s.category, s.name, s.track_id, t.name AS thread_name, s.utid, t.tid, t.is_main_thread,
       p.name AS process_name, t.upid, p.pid, s.depth, s.parent_id, s.arg_set_id, s.self_dur
     FROM slice s JOIN thread t ON s.utid = t.utid LEFT JOIN process p ON t.upid = p.upid`,
  `CREATE VIEW process_slice AS
     SELECT s.id, s.ts, s.dur, s.category, s.name, s.track_id, p.name AS process_name, s.upid, p.pid, s.depth, s.parent_id,
       s.arg_set_id, s.self_dur
     FROM slice s JOIN process p ON s.upid = p.upid WHERE s.utid IS NULL`,
  `CREATE VIEW thread_or_process_slice AS
     SELECT s.id, s.ts, s.dur, s.category, s.name, s.track_id, t.name AS thread_name, s.utid, t.tid, t.is_main_thread,
       p.name AS process_name, s.upid, p.pid, s.depth, s.parent_id, s.arg_set_id, s.self_dur
     FROM slice s JOIN process p ON s.upid = p.upid LEFT JOIN thread t ON s.utid = t.utid`,
  "CREATE VIEW perf_sample AS SELECT id, ts, utid, cpu, callsite_id FROM sample",
  "CREATE VIEW stack_profile_callsite AS SELECT id, depth, parent_id, frame_id FROM stack_frame",
  `CREATE VIEW stack_profile_frame AS
     SELECT frame_id AS id, any_value(name) AS name, any_value(module) AS mapping, any_value(address) AS rel_pc
     FROM stack_frame GROUP BY frame_id`,

  // Tables with parameters.
  `CREATE MACRO descendant_slice(slice_id) AS TABLE
     WITH given AS (SELECT __slice_pre(slice_id) AS pre, __slice_last(slice_id) AS last)
     SELECT slice.* FROM slice, given WHERE slice.pre > given.pre AND slice.pre <= given.last`,
  `CREATE MACRO ancestor_slice(slice_id) AS TABLE
     WITH given AS (SELECT __slice_pre(slice_id) AS pre)
     SELECT slice.* FROM slice, given WHERE slice.pre < given.pre AND slice.last >= given.pre`,
  // The slice and what is around it.
  `CREATE MACRO slice_stack(slice_id) AS TABLE
     WITH given AS (SELECT __slice_pre(slice_id) AS pre)
     SELECT slice.* FROM slice, given WHERE slice.pre <= given.pre AND slice.last >= given.pre`,
  `CREATE MACRO callstack_flamegraph(from_ts := NULL, to_ts := NULL) AS TABLE
     FROM __callstack_flamegraph(from_ts::BIGINT, to_ts::BIGINT)`,
  // What a thread did in a window; the pieces are cut to it.
  `CREATE MACRO thread_state_in(thread, from_ts, length) AS TABLE
     SELECT id, greatest(ts, from_ts) AS ts,
       CASE WHEN dur < 0 THEN from_ts + length ELSE least(ts + dur, from_ts + length) END - greatest(ts, from_ts) AS dur,
       cpu, utid, state, waker_utid
     FROM thread_state
     WHERE utid = thread AND ts < from_ts + length AND (dur < 0 OR ts + dur > from_ts)`,
  // Pairs that overlap, cut to where they do. Open durations (−1) last to the end of the trace.
  `CREATE MACRO intervals_intersect(left_table, right_table) AS TABLE
     WITH l AS (SELECT id, ts, CASE WHEN dur < 0 THEN trace_end() ELSE ts + dur END AS te FROM query_table(left_table)),
          r AS (SELECT id, ts, CASE WHEN dur < 0 THEN trace_end() ELSE ts + dur END AS te FROM query_table(right_table))
     SELECT l.id AS id_0, r.id AS id_1, greatest(l.ts, r.ts) AS ts, least(l.te, r.te) - greatest(l.ts, r.ts) AS dur
     FROM l JOIN r ON l.ts < r.te AND r.ts < l.te`,
  // How many intervals are open, from each change to the next.
  `CREATE MACRO intervals_overlap_count(intervals) AS TABLE
     WITH change AS (
         SELECT ts, 1 AS step FROM query_table(intervals)
         UNION ALL SELECT ts + dur, -1 FROM query_table(intervals) WHERE dur >= 0),
       moment AS (SELECT ts, sum(step) AS step FROM change GROUP BY ts)
     SELECT ts, coalesce(lead(ts) OVER (ORDER BY ts), trace_end()) - ts AS dur,
       (sum(step) OVER (ORDER BY ts))::BIGINT AS value
     FROM moment`,

  "CREATE MACRO extract_arg(arg_set_id, arg_key) AS arg(arg_set_id, arg_key)",
  "CREATE MACRO trace_start() AS (SELECT start_ts FROM trace_bounds)",
  "CREATE MACRO trace_end() AS (SELECT end_ts FROM trace_bounds)",
  "CREATE MACRO trace_dur() AS (SELECT end_ts - start_ts FROM trace_bounds)",
  "CREATE MACRO time_from_ns(ns) AS ns::BIGINT",
  "CREATE MACRO time_from_us(us) AS (us * 1000)::BIGINT",
  "CREATE MACRO time_from_ms(ms) AS (ms * 1000000)::BIGINT",
  "CREATE MACRO time_from_s(s) AS (s * 1000000000)::BIGINT",
  "CREATE MACRO time_to_us(ns) AS ns / 1e3",
  "CREATE MACRO time_to_ms(ns) AS ns / 1e6",
  "CREATE MACRO time_to_s(ns) AS ns / 1e9",
  // Share in 0…100, as Perfetto's users write it.
  "CREATE MACRO percentile(x, share) AS quantile_cont(x, share / 100.0)",
];

/** The view of a table function: text is cast from ENUM, which is how text is read fast (scan.ts). */
export function tableView(
  name: string,
  columns: readonly { readonly name: string; readonly type: string }[],
): string {
  const list = columns.map((column) =>
    column.type === "text"
      ? `${quoteName(column.name)}::VARCHAR AS ${quoteName(column.name)}`
      : quoteName(column.name),
  );
  return `CREATE VIEW ${quoteName(name)} AS SELECT ${list.join(", ")} FROM ${quoteName(`__${name}`)}()`;
}

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
