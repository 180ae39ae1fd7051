/**
 * What shipped probes do, in C as one would for libbpf: the same events, tests, maps and records. By file of packages/probes
 * and label of the program.
 */
import { log2InC, prelude } from "./_probe-twins.mjs";

/** Offsets are the loader's matter (CO-RE), as they are for kymo. */
const btf = `${prelude}
#define CORE __attribute__((preserve_access_index))
struct thread_info { u32 cpu; } CORE;
struct task_struct { struct thread_info thread_info; int prio; int pid; int tgid; } CORE;
struct pt_regs { u64 di, si, dx, orig_ax; } CORE;
#define SCRATCH(name, T) struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 1); __type(key, u32); __type(value, T); } name SEC(".maps")
`;

/** HDR buckets: 8 for each power of two. */
const bucket = `${log2InC}
static inline u32 bucket(s64 v) {
  if (v < 0) return 0;
  if (v < 8) return v + 1;
  u64 shift = log2u(v) - 3;
  return shift * 8 + ((u64)v >> shift) + 1;
}`;

export const shipped = [
  {
    file: "sched.ts",
    label: "rawTracepoint:sched_switch",
    c: `${btf}
struct event { struct header h; u32 prev, tgid, state, next, nexttgid; s32 prio; u32 cpu, pad; };
SEC("tp_btf") int probe(u64 *c) {
  _Bool preempt = c[0]; struct task_struct *prev = (void *)c[1], *next = (void *)c[2]; u32 state = c[3];
  RESERVE(struct event, e, 1)
  e->prev = prev->pid; e->tgid = prev->tgid; e->state = preempt ? 0 : state;
  e->next = next->pid; e->nexttgid = next->tgid; e->prio = next->prio; e->cpu = bpf_get_smp_processor_id();
  bpf_ringbuf_submit(e, 0); return 0;
}`,
  },
  {
    file: "sched.ts",
    label: "rawTracepoint:sched_waking",
    c: `${btf}
struct event { struct header h; u64 interrupt; u32 thread, target, cpu, pad; };
SEC("tp_btf") int probe(u64 *c) {
  struct task_struct *task = (void *)c[0];
  RESERVE(struct event, e, 2)
  e->interrupt = 0; e->thread = task->pid; e->target = task->thread_info.cpu; e->cpu = bpf_get_smp_processor_id();
  bpf_ringbuf_submit(e, 0); return 0;
}`,
  },
  {
    file: "signals.ts",
    label: "tracepoint:signal:signal_generate",
    c: `${btf}
struct ctx { u64 common; s32 sig, err, code; char comm[16]; s32 pid, group, result; };
struct event { struct header h; char comm[16]; u32 tgid; s32 sig, pid, result; };
SEC("tracepoint") int probe(struct ctx *c) {
  RESERVE(struct event, e, 1)
  e->tgid = bpf_get_current_pid_tgid() >> 32; e->sig = c->sig; e->pid = c->pid;
  bpf_probe_read_kernel_str(e->comm, 16, c->comm); e->result = c->result;
  bpf_ringbuf_submit(e, 0); return 0;
}`,
  },
  {
    file: "signals.ts",
    label: "tracepoint:signal:signal_deliver",
    c: `${btf}
struct ctx { u64 common; s32 sig, err, code; };
struct event { struct header h; u32 tgid; s32 sig, code; u32 pad; };
SEC("tracepoint") int probe(struct ctx *c) {
  RESERVE(struct event, e, 2)
  e->tgid = bpf_get_current_pid_tgid() >> 32; e->sig = c->sig; e->code = c->code;
  bpf_ringbuf_submit(e, 0); return 0;
}`,
  },
  {
    file: "faults.ts",
    label: "tracepoint:exceptions:page_fault_user",
    c: `${btf}
struct ctx { u64 common, address, ip, error; };
struct event { struct header h; u64 address, ip; u32 tgid; u8 name; };
SEC("tracepoint") int probe(struct ctx *c) {
  RESERVE(struct event, e, 1)
  e->tgid = bpf_get_current_pid_tgid() >> 32; e->name = c->error & 2 ? 0 : 1; e->address = c->address; e->ip = c->ip;
  bpf_ringbuf_submit(e, 0); return 0;
}`,
  },
  {
    file: "syscalls.ts",
    label: "syscall:*",
    c: `${btf}
struct call { u64 start, id; };
HASH(calls, u32, struct call);
SEC("raw_tracepoint") int probe(u64 *c) {
  u64 id = c[1];
  if (id == 60 || id == 231) return 0;
  struct call call = { bpf_ktime_get_ns(), id };
  u32 tid = bpf_get_current_pid_tgid();
  bpf_map_update_elem(&calls, &tid, &call, 0); return 0;
}`,
  },
  {
    file: "syscalls.ts",
    label: "syscall.exit:*",
    c: `${btf}
struct call { u64 start, id; };
HASH(calls, u32, struct call);
struct event { struct header h; struct call call; s64 ret, errno; u32 tgid; };
SEC("raw_tracepoint") int probe(u64 *c) {
  u32 tid = bpf_get_current_pid_tgid();
  struct call *call = bpf_map_lookup_elem(&calls, &tid);
  if (!call) return 0;
  struct event *e = bpf_ringbuf_reserve(&ring, sizeof *e, 0);
  if (e) {
    e->h.site = 1; e->h.tid = bpf_get_current_pid_tgid(); e->h.time = bpf_ktime_get_ns();
    e->tgid = bpf_get_current_pid_tgid() >> 32; e->call = *call; e->ret = c[1]; e->errno = c[1];
    bpf_ringbuf_submit(e, 0);
  } else __sync_fetch_and_add(&losses[1], 1);
  bpf_map_delete_elem(&calls, &tid); return 0;
}`,
  },
  {
    file: "opensnoop.ts",
    label: "syscall:openat",
    c: `${btf}
struct call { u64 start; char path[256]; s32 flags, pad; };
HASH(calls, u32, struct call); SCRATCH(scratch, struct call);
SEC("tp_btf") int probe(u64 *c) {
  if (c[1] != 257) return 0;
  u32 zero = 0;
  struct call *call = bpf_map_lookup_elem(&scratch, &zero);
  if (!call) return 0;
  bpf_probe_read_kernel(call, sizeof *call, 0);
  struct pt_regs *regs = (void *)c[0];
  bpf_probe_read_user_str(call->path, 256, (void *)regs->si);
  call->flags = regs->dx; call->start = bpf_ktime_get_ns();
  u32 tid = bpf_get_current_pid_tgid();
  bpf_map_update_elem(&calls, &tid, call, 0); return 0;
}`,
  },
  {
    file: "opensnoop.ts",
    label: "syscall.exit:openat",
    c: `${btf}
struct call { u64 start; char path[256]; s32 flags, pad; };
HASH(calls, u32, struct call);
struct event { struct header h; struct call call; s64 ret; u32 tgid; };
SEC("tp_btf") int probe(u64 *c) {
  if (((struct pt_regs *)c[0])->orig_ax != 257) return 0;
  u32 tid = bpf_get_current_pid_tgid();
  struct call *call = bpf_map_lookup_elem(&calls, &tid);
  if (!call) return 0;
  struct event *e = bpf_ringbuf_reserve(&ring, sizeof *e, 0);
  if (e) {
    e->h.site = 1; e->h.tid = bpf_get_current_pid_tgid(); e->h.time = bpf_ktime_get_ns();
    e->tgid = bpf_get_current_pid_tgid() >> 32; bpf_probe_read_kernel(&e->call, sizeof *call, call); e->ret = c[1];
    bpf_ringbuf_submit(e, 0);
  } else __sync_fetch_and_add(&losses[1], 1);
  bpf_map_delete_elem(&calls, &tid); return 0;
}`,
  },
  {
    file: "runqlat.ts",
    label: "rawTracepoint:sched_wakeup",
    c: `${btf}
HASH(runnable, u32, u64);
SEC("tp_btf") int probe(u64 *c) {
  u32 pid = ((struct task_struct *)c[0])->pid; u64 now = bpf_ktime_get_ns();
  bpf_map_update_elem(&runnable, &pid, &now, 0); return 0;
}`,
  },
  {
    file: "runqlat.ts",
    label: "rawTracepoint:sched_switch",
    c: `${btf}${bucket}
HASH(runnable, u32, u64);
struct { __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); __uint(max_entries, 512); __type(key, u32); __type(value, u64); } latency SEC(".maps");
struct event { struct header h; u64 start; u32 thread, pad; };
SEC("tp_btf") int probe(u64 *c) {
  _Bool preempt = c[0]; struct task_struct *prev = (void *)c[1], *next = (void *)c[2];
  if (preempt && prev->pid != 0) {
    u32 pid = prev->pid; u64 now = bpf_ktime_get_ns();
    bpf_map_update_elem(&runnable, &pid, &now, 0);
  }
  u32 key = next->pid;
  u64 *found = bpf_map_lookup_elem(&runnable, &key);
  if (!found) return 0;
  u64 since = *found;
  bpf_map_delete_elem(&runnable, &key);
  u64 waited = bpf_ktime_get_ns() - since;
  u32 at = bucket(waited);
  u64 *count = bpf_map_lookup_elem(&latency, &at);
  if (count) *count += 1;
  if (waited < 1000000) return 0;
  RESERVE(struct event, e, 1)
  e->thread = next->pid; e->start = since;
  bpf_ringbuf_submit(e, 0); return 0;
}`,
  },
  {
    file: "biolatency.ts",
    label: "rawTracepoint:block_rq_issue",
    c: `${btf}
HASH(issued, u64, u64);
SEC("tp_btf/block_rq_issue") int probe(u64 *c) {
  u64 key = c[0], now = bpf_ktime_get_ns();
  bpf_map_update_elem(&issued, &key, &now, 0); return 0;
}`,
  },
  {
    file: "biolatency.ts",
    label: "rawTracepoint:block_rq_complete",
    c: `${btf}${bucket}
struct gendisk { char disk_name[32]; } CORE;
struct request_queue { struct gendisk *disk; } CORE;
struct request { struct request_queue *q; } CORE;
HASH(issued, u64, u64);
struct cell { char disk[32]; u32 bucket, pad; };
struct { __uint(type, BPF_MAP_TYPE_PERCPU_HASH); __uint(max_entries, 10240); __type(key, struct cell); __type(value, u64); } latency SEC(".maps");
SEC("tp_btf/block_rq_complete") int probe(u64 *c) {
  u64 key = c[0];
  struct request *request = (void *)c[0];
  u64 *found = bpf_map_lookup_elem(&issued, &key);
  if (!found) return 0;
  u64 start = *found;
  bpf_map_delete_elem(&issued, &key);
  struct cell cell = {};
  bpf_probe_read_kernel_str(cell.disk, sizeof cell.disk, request->q->disk->disk_name);
  cell.bucket = bucket(bpf_ktime_get_ns() - start);
  u64 *count = bpf_map_lookup_elem(&latency, &cell);
  if (!count) {
    u64 zero = 0;
    bpf_map_update_elem(&latency, &cell, &zero, BPF_NOEXIST);
    count = bpf_map_lookup_elem(&latency, &cell);
  }
  if (count) *count += 1;
  return 0;
}`,
  },
];
