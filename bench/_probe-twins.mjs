/**
 * Probes written twice: in C as one would for libbpf, and in kymo's IR as its front end lowers the same in TypeScript.
 * The record's header is kymo's: site u32, tid u32, time u64.
 */
const types = Object.fromEntries(
  [8, 16, 32, 64].flatMap((bits) => [
    [`u${bits}`, { bits, signed: false }],
    [`i${bits}`, { bits, signed: true }],
  ]),
);
const c = (value) => ({ op: "const", value: BigInt(value) });
const expr = (value) => (typeof value === "object" ? value : c(value));
const local = (n) => ({ op: "local", local: n });
const context = { op: "context" };
const record = { op: "record" };
const slot = (n, offset = 0) => ({ op: "slot", slot: n, offset });
const map = (n) => ({ op: "map", map: n });
const value = (n, offset = 0) => ({ op: "mapValue", map: n, offset });
const load = (type, from, offset, memory = "direct") => ({
  op: "load",
  type: types[type],
  memory,
  from,
  offset,
});
const call = (helper, ...args) => ({ op: "call", helper, args: args.map(expr) });
const binary = (left, operator, right, signed = false) => ({
  op: "binary",
  operator,
  signed,
  left,
  right: expr(right),
});
const compare = (left, operator, right, signed = false) => ({
  op: "compare",
  operator,
  signed,
  left,
  right: expr(right),
});
const cast = (type, value) => ({ op: "cast", type: types[type], value });
const let_ = (n, value) => ({ op: "assign", local: n, value });
const store = (type, to, offset, value) => ({
  op: "store",
  type: types[type],
  to,
  offset,
  value: expr(value),
});
const if_ = (condition, yes, no = []) => ({ op: "if", condition, then: yes, else: no });
const return_ = (value = 0) => ({ op: "return", value: c(value) });
const eval_ = (value) => ({ op: "eval", value });
const atomicAdd = (to, offset, value) => ({ op: "atomicAdd", bits: 64, to, offset, value: expr(value) });

const now = call(5);
const pidTgid = call(14);
const tid = cast("u32", pidTgid);
const cpu = call(8);
const lookup = (m, key) => call(1, map(m), key);
const update = (m, key, value) => call(2, map(m), key, value, 0);
const remove = (m, key) => call(3, map(m), key);

const ring = { kind: "ring", name: "ring", keyBytes: 0, valueBytes: 0, max: 1 << 18 };
const losses = { kind: "array", name: "losses", keyBytes: 4, valueBytes: 64 * 8, max: 1 };
const hash = (name, keyBytes, valueBytes) => ({ kind: "hash", name, keyBytes, valueBytes, max: 10240 });

const emit = (site, bytes, ...fields) => ({
  op: "emit",
  ring: 0,
  losses: 1,
  site,
  bytes,
  body: [store("u32", record, 0, site), store("u32", record, 4, tid), store("u64", record, 8, now), ...fields],
});

const handler = (name, body, { maps = [], slots = [], locals = 8 } = {}) => ({
  name,
  files: [],
  maps: [ring, losses, ...maps],
  slots: slots.map((bytes, i) => ({ bytes, name: `slot${i}` })),
  localCount: locals,
  body,
  result: 0n,
});

export const prelude = `
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
typedef __u8 u8; typedef __u16 u16; typedef __u32 u32; typedef __u64 u64; typedef __s32 s32; typedef __s64 s64;
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, 1 << 18); } ring SEC(".maps");
u64 losses[64];
struct header { u32 site, tid; u64 time; };
#define HASH(name, K, V) struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 10240); __type(key, K); __type(value, V); } name SEC(".maps")
#define RESERVE(T, e, number) \\
  T *e = bpf_ringbuf_reserve(&ring, sizeof(T), 0); \\
  if (!e) { __sync_fetch_and_add(&losses[number], 1); return 0; } \\
  e->h.site = number; e->h.tid = bpf_get_current_pid_tgid(); e->h.time = bpf_ktime_get_ns();
char _license[] SEC("license") = "GPL";
`;

/** 2ᵏ ≤ value < 2ᵏ⁺¹ gives k, by halves, as an expression of shifts. */
function log2(from, result) {
  const steps = [[32, 0xffff_ffffn], [16, 0xffffn], [8, 0xffn], [4, 0xfn], [2, 0x3n], [1, 0x1n]];
  return [
    let_(result, c(0)),
    ...steps.map(([bits, above]) =>
      if_(compare(local(from), ">", above), [
        let_(from, binary(local(from), ">>", bits)),
        let_(result, binary(local(result), "+", bits)),
      ]),
    ),
  ];
}
export const log2InC = `
static inline u64 log2u(u64 v) {
  u64 r = 0;
  if (v > 0xffffffff) { v >>= 32; r += 32; }
  if (v > 0xffff) { v >>= 16; r += 16; }
  if (v > 0xff) { v >>= 8; r += 8; }
  if (v > 0xf) { v >>= 4; r += 4; }
  if (v > 0x3) { v >>= 2; r += 2; }
  if (v > 0x1) r += 1;
  return r;
}`;

export const twins = [
  {
    name: "sched_switch to a record",
    c: `${prelude}
struct ctx { u64 common; char prev_comm[16]; s32 prev_pid, prev_prio; s64 prev_state; char next_comm[16]; s32 next_pid, next_prio; };
struct event { struct header h; u32 cpu, prev; u64 state; u32 next; s32 prio; char comm[16]; };
SEC("tracepoint") int probe(struct ctx *c) {
  RESERVE(struct event, e, 1)
  e->cpu = bpf_get_smp_processor_id(); e->prev = c->prev_pid; e->state = c->prev_state; e->next = c->next_pid; e->prio = c->next_prio;
  __builtin_memcpy(e->comm, c->next_comm, 16);
  bpf_ringbuf_submit(e, 0); return 0;
}`,
    handler: handler("sched_switch", [
      emit(
        1,
        56,
        store("u32", record, 16, cpu),
        store("u32", record, 20, load("i32", context, 24)),
        store("u64", record, 24, load("i64", context, 32)),
        store("u32", record, 32, load("i32", context, 56)),
        store("i32", record, 36, load("i32", context, 60)),
        store("u64", record, 40, load("u64", context, 40)),
        store("u64", record, 48, load("u64", context, 48)),
      ),
    ]),
  },
  {
    name: "start of a system call into a map",
    c: `${prelude}
HASH(started, u32, u64);
SEC("tracepoint") int probe(void *c) {
  u32 tid = bpf_get_current_pid_tgid(); u64 now = bpf_ktime_get_ns();
  bpf_map_update_elem(&started, &tid, &now, 0); return 0;
}`,
    handler: handler(
      "enter",
      [
        store("u32", slot(0), 0, tid),
        store("u64", slot(1), 0, now),
        eval_(update(2, slot(0), slot(1))),
      ],
      { maps: [hash("started", 4, 8)], slots: [8, 8] },
    ),
  },
  {
    name: "slow system calls: take, compare, slice",
    c: `${prelude}
HASH(started, u32, u64);
struct ctx { u64 common; s64 nr, ret; };
struct event { struct header h; u64 start; s64 ret; };
SEC("tracepoint") int probe(struct ctx *c) {
  u32 tid = bpf_get_current_pid_tgid();
  u64 *found = bpf_map_lookup_elem(&started, &tid);
  if (!found) return 0;
  u64 start = *found;
  bpf_map_delete_elem(&started, &tid);
  if (bpf_ktime_get_ns() - start < 1000000) return 0;
  RESERVE(struct event, e, 2)
  e->start = start; e->ret = c->ret;
  bpf_ringbuf_submit(e, 0); return 0;
}`,
    handler: handler(
      "exit",
      [
        store("u32", slot(0), 0, tid),
        let_(0, lookup(2, slot(0))),
        if_(compare(local(0), "==", 0), [return_()]),
        let_(1, load("u64", local(0), 0)),
        eval_(remove(2, slot(0))),
        if_(compare(binary(now, "-", local(1)), "<", 1_000_000), [return_()]),
        emit(2, 32, store("u64", record, 16, local(1)), store("i64", record, 24, load("i64", context, 16))),
      ],
      { maps: [hash("started", 4, 8)], slots: [8] },
    ),
  },
  {
    name: "opened paths: a user's string into the record",
    c: `${prelude}
struct ctx { u64 common; s64 nr; u64 dfd; const char *path; u64 flags, mode; };
struct event { struct header h; u32 flags, mode; char path[256]; };
SEC("tracepoint") int probe(struct ctx *c) {
  RESERVE(struct event, e, 3)
  e->flags = c->flags; e->mode = c->mode;
  if (bpf_probe_read_user_str(e->path, 256, c->path) < 0) e->path[0] = 0;
  bpf_ringbuf_submit(e, 0); return 0;
}`,
    handler: handler("open", [
      emit(
        3,
        280,
        store("u32", record, 16, load("u64", context, 32)),
        store("u32", record, 20, load("u64", context, 40)),
        if_(
          compare(call(114, binary(record, "+", 24), 256, load("u64", context, 24)), "<", 0, true),
          [store("u8", record, 24, 0)],
        ),
      ),
    ]),
  },
  {
    name: "count by process",
    c: `${prelude}
HASH(counts, u32, u64);
SEC("raw_tracepoint") int probe(void *c) {
  u32 pid = bpf_get_current_pid_tgid() >> 32; u64 one = 1;
  u64 *n = bpf_map_lookup_elem(&counts, &pid);
  if (n) { __sync_fetch_and_add(n, 1); return 0; }
  bpf_map_update_elem(&counts, &pid, &one, 0); return 0;
}`,
    handler: handler(
      "count",
      [
        store("u32", slot(0), 0, binary(pidTgid, ">>", 32)),
        let_(0, lookup(2, slot(0))),
        if_(
          compare(local(0), "!=", 0),
          [atomicAdd(local(0), 0, 1)],
          [store("u64", slot(1), 0, 1), eval_(update(2, slot(0), slot(1)))],
        ),
      ],
      { maps: [hash("counts", 4, 8)], slots: [8, 8] },
    ),
  },
  {
    name: "histogram of sizes (log2)",
    c: `${prelude}${log2InC}
struct ctx { u64 common; s64 nr, ret; };
u64 buckets[64];
SEC("tracepoint") int probe(struct ctx *c) {
  s64 ret = c->ret;
  if (ret <= 0) return 0;
  __sync_fetch_and_add(&buckets[log2u(ret) & 63], 1); return 0;
}`,
    handler: handler(
      "hist",
      [
        let_(0, load("i64", context, 16)),
        if_(compare(local(0), "<=", 0, true), [return_()]),
        ...log2(0, 1),
        atomicAdd(binary(value(2), "+", binary(binary(local(1), "&", 63), "*", 8)), 0, 1),
      ],
      { maps: [{ kind: "array", name: "buckets", keyBytes: 4, valueBytes: 512, max: 1 }] },
    ),
  },
  {
    name: "run queue latency: switch side",
    c: `${prelude}${log2InC}
HASH(woken, u32, u64);
struct ctx { u64 common; char prev_comm[16]; s32 prev_pid, prev_prio; s64 prev_state; char next_comm[16]; s32 next_pid, next_prio; };
u64 buckets[64];
SEC("tracepoint") int probe(struct ctx *c) {
  u64 now = bpf_ktime_get_ns();
  u32 prev = c->prev_pid, next = c->next_pid;
  if (c->prev_state == 0 && prev != 0) bpf_map_update_elem(&woken, &prev, &now, 0);
  u64 *at = bpf_map_lookup_elem(&woken, &next);
  if (!at) return 0;
  u64 waited = (now - *at) / 1000;
  bpf_map_delete_elem(&woken, &next);
  __sync_fetch_and_add(&buckets[log2u(waited) & 63], 1);
  return 0;
}`,
    handler: handler(
      "runqlat",
      [
        let_(0, now),
        if_(
          {
            op: "and",
            left: compare(load("i64", context, 32), "==", 0),
            right: compare(load("i32", context, 24), "!=", 0),
          },
          [
            store("u32", slot(0), 0, load("i32", context, 24)),
            store("u64", slot(1), 0, local(0)),
            eval_(update(2, slot(0), slot(1))),
          ],
        ),
        store("u32", slot(2), 0, load("i32", context, 56)),
        let_(1, lookup(2, slot(2))),
        if_(compare(local(1), "==", 0), [return_()]),
        let_(2, binary(binary(local(0), "-", load("u64", local(1), 0)), "/", 1000)),
        eval_(remove(2, slot(2))),
        ...log2(2, 3),
        atomicAdd(binary(value(3), "+", binary(binary(local(3), "&", 63), "*", 8)), 0, 1),
      ],
      {
        maps: [
          hash("woken", 4, 8),
          { kind: "array", name: "buckets", keyBytes: 4, valueBytes: 512, max: 1 },
        ],
        slots: [8, 8, 8],
      },
    ),
  },
  {
    name: "only processes called node",
    c: `${prelude}
struct event { struct header h; char comm[16]; };
SEC("raw_tracepoint") int probe(void *c) {
  char comm[16];
  bpf_get_current_comm(comm, 16);
  if (__builtin_memcmp(comm, "node", 5)) return 0;
  RESERVE(struct event, e, 4)
  __builtin_memcpy(e->comm, comm, 16);
  bpf_ringbuf_submit(e, 0); return 0;
}`,
    handler: handler(
      "comm",
      [
        eval_(call(16, slot(0), 16)),
        if_(
          {
            op: "or",
            left: compare(load("u32", slot(0), 0), "!=", 0x65_64_6f_6e),
            right: compare(load("u8", slot(0), 4), "!=", 0),
          },
          [return_()],
        ),
        emit(
          4,
          32,
          store("u64", record, 16, load("u64", slot(0), 0)),
          store("u64", record, 24, load("u64", slot(0), 8)),
        ),
      ],
      { slots: [16] },
    ),
  },
  {
    name: "kernel structures over three hops",
    c: `${prelude}
struct event { struct header h; u32 parent, grandparent; };
static inline u64 hop(u64 p, u32 offset) { u64 v; bpf_probe_read_kernel(&v, 8, (void *)(p + offset)); return v; }
SEC("raw_tracepoint") int probe(void *c) {
  u64 task = bpf_get_current_task();
  u64 parent = hop(task, 1480), grandparent = hop(parent, 1480);
  u32 tgid, tgid2;
  bpf_probe_read_kernel(&tgid, 4, (void *)(parent + 1468));
  bpf_probe_read_kernel(&tgid2, 4, (void *)(grandparent + 1468));
  RESERVE(struct event, e, 5)
  e->parent = tgid; e->grandparent = tgid2;
  bpf_ringbuf_submit(e, 0); return 0;
}`,
    handler: handler("hops", [
      let_(0, load("u64", call(35), 1480, "kernel")),
      let_(1, load("u64", local(0), 1480, "kernel")),
      let_(2, load("u32", local(0), 1468, "kernel")),
      let_(3, load("u32", local(1), 1468, "kernel")),
      emit(5, 24, store("u32", record, 16, local(2)), store("u32", record, 20, local(3))),
    ]),
  },
  {
    name: "block request done: key of device and sector",
    c: `${prelude}
struct key { u64 dev, sector; };
HASH(started, struct key, u64);
struct ctx { u64 common; u32 dev, pad; u64 sector; u32 nr_sector; s32 error; char rwbs[8]; };
struct event { struct header h; u64 start, sector; u32 dev, sectors, kind; s32 error; };
SEC("tracepoint") int probe(struct ctx *c) {
  struct key k = { c->dev, c->sector };
  u64 *at = bpf_map_lookup_elem(&started, &k);
  if (!at) return 0;
  u64 start = *at;
  bpf_map_delete_elem(&started, &k);
  RESERVE(struct event, e, 6)
  e->start = start; e->sector = c->sector; e->dev = c->dev; e->sectors = c->nr_sector; e->kind = c->rwbs[0] == 'W'; e->error = c->error;
  bpf_ringbuf_submit(e, 0); return 0;
}`,
    handler: handler(
      "block",
      [
        store("u64", slot(0), 0, load("u32", context, 8)),
        store("u64", slot(0), 8, load("u64", context, 16)),
        let_(0, lookup(2, slot(0))),
        if_(compare(local(0), "==", 0), [return_()]),
        let_(1, load("u64", local(0), 0)),
        eval_(remove(2, slot(0))),
        emit(
          6,
          48,
          store("u64", record, 16, local(1)),
          store("u64", record, 24, load("u64", context, 16)),
          store("u32", record, 32, load("u32", context, 8)),
          store("u32", record, 36, load("u32", context, 24)),
          store("u32", record, 40, compare(load("u8", context, 32), "==", 0x57)),
          store("i32", record, 44, load("i32", context, 28)),
        ),
      ],
      { maps: [hash("started", 16, 8)], slots: [16] },
    ),
  },
  {
    name: "arithmetic: rate of bytes in a window",
    c: `${prelude}
struct ctx { u64 common; s64 nr, ret; };
struct state { u64 since, bytes; };
HASH(states, u32, struct state);
struct event { struct header h; u64 rate; };
SEC("tracepoint") int probe(struct ctx *c) {
  u32 pid = bpf_get_current_pid_tgid() >> 32;
  if (c->ret < 0) return 0;
  struct state *s = bpf_map_lookup_elem(&states, &pid);
  if (!s) return 0;
  s->bytes += c->ret;
  u64 now = bpf_ktime_get_ns(), elapsed = now - s->since;
  if (elapsed < 100000000) return 0;
  u64 rate = s->bytes * 1000000000ULL / elapsed;
  s->bytes = 0; s->since = now;
  RESERVE(struct event, e, 7)
  e->rate = rate;
  bpf_ringbuf_submit(e, 0); return 0;
}`,
    handler: handler(
      "rate",
      [
        store("u32", slot(0), 0, binary(pidTgid, ">>", 32)),
        if_(compare(load("i64", context, 16), "<", 0, true), [return_()]),
        let_(0, lookup(2, slot(0))),
        if_(compare(local(0), "==", 0), [return_()]),
        store("u64", local(0), 8, binary(load("u64", local(0), 8), "+", load("i64", context, 16))),
        let_(1, now),
        let_(2, binary(local(1), "-", load("u64", local(0), 0))),
        if_(compare(local(2), "<", 100_000_000), [return_()]),
        let_(3, binary(binary(load("u64", local(0), 8), "*", 1_000_000_000), "/", local(2))),
        store("u64", local(0), 8, 0),
        store("u64", local(0), 0, local(1)),
        emit(7, 24, store("u64", record, 16, local(3))),
      ],
      { maps: [hash("states", 4, 16)], slots: [8] },
    ),
  },
];
