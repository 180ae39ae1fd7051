/** From an attach call to probes: what the kernel says about the place, the handler's parameters, the program's target. */
import type { AttachTarget, Probe } from "../program.ts";
import type { EventSchema, Kernel, Variable } from "../schema.ts";
import { type HandlerOptions, lowerBody, newLowering } from "./lower.ts";
import {
  argumentsOf,
  eventOf,
  found,
  type Loading,
  noteAll,
  onlyWhere,
  probe,
  text,
} from "./parameters.ts";
import { type Attach, errorAt, nanoseconds } from "./session.ts";
import { functionSpan, syscallSpan, usesSpan } from "./spans.ts";

/** @throws ProbeError for what can't be attached, at the argument that names it */
export function probesOf(loading: Loading, attach: Attach): Probe[] {
  const { kernel } = loading.unit;
  const { kind, args } = attach;
  switch (kind) {
    case "tracepoint": {
      const [category, event] = text(attach, 0, "sched:sched_switch").split(":");
      if (event === undefined)
        throw errorAt(
          attach.site,
          `a tracepoint has a category: "sched:sched_switch"`,
          undefined,
          0,
        );
      return [onEvent(loading, attach, found(attach, kernel.tracepoint(category!, event)))];
    }
    case "rawTracepoint": {
      const name = text(attach, 0, "sched_switch").replace(/^.*:/, "");
      return [onArguments(loading, attach, found(attach, kernel.rawTracepoint(name)))];
    }
    case "syscall":
      return [onEvent(loading, attach, syscall(kernel, attach, "enter"))];
    case "syscall.exit":
      return [onEvent(loading, attach, syscall(kernel, attach, "exit"))];
    case "anySyscall":
      return [onEvent(loading, attach, found(attach, kernel.anySyscall("enter")))];
    case "anySyscall.exit":
      return [onEvent(loading, attach, found(attach, kernel.anySyscall("exit")))];
    case "syscall.span":
      return syscallSpan(
        loading,
        attach,
        syscall(kernel, attach, "enter"),
        syscall(kernel, attach, "exit"),
      );
    case "anySyscall.span":
      return syscallSpan(
        loading,
        attach,
        found(attach, kernel.anySyscall("enter")),
        found(attach, kernel.anySyscall("exit")),
      );
    case "uprobe":
    case "uretprobe":
      return onFunction(loading, attach, kind);
    case "usdt": {
      const where = text(attach, 1, "provider:name");
      const [provider, name] = where.split(":");
      if (name === undefined)
        throw errorAt(attach.site, 'a static probe is named "provider:name"', undefined, 1);
      const schema = kernel.usdt(text(attach, 0, "a path"), provider!, name, loading.pid);
      return [onArguments(loading, attach, found(attach, schema, 1))];
    }
    case "kprobe":
    case "kretprobe": {
      const at = kind === "kprobe" ? "entry" : "return";
      const schema = found(attach, kernel.kprobe(text(attach, 0, "a function"), at));
      return [onArguments(loading, attach, schema)];
    }
    case "fentry":
    case "fexit": {
      const at = kind === "fentry" ? "entry" : "return";
      const schema = found(attach, kernel.fentry(text(attach, 0, "a function"), at));
      return [onArguments(loading, attach, schema)];
    }
    case "profile": {
      const hz = args[0];
      if (typeof hz !== "number" || !(hz >= 1 && hz <= 100_000))
        throw errorAt(attach.site, "profile takes samples a second: profile(99, …)", undefined, 0);
      const options = { label: `profile:${hz}hz`, weight: Math.round(1e9 / hz) };
      return [plain(loading, attach, { kind: "profile", hz }, options)];
    }
    case "interval": {
      const ns = nanoseconds(args[0], attach.site);
      return [
        plain(loading, attach, { kind: "interval", ns }, { label: `interval:${String(args[0])}` }),
      ];
    }
    case "perfEvent": {
      const name = text(attach, 0, "page-faults");
      const event = found(attach, kernel.perfEvent(name));
      const period = args.length > 1 ? args[1] : 1;
      if (typeof period !== "number" || !Number.isInteger(period) || period < 1)
        throw errorAt(attach.site, "the period is a number of events ≥ 1", undefined, 1);
      const target: AttachTarget = { kind: "perf-event", ...event, period };
      return [plain(loading, attach, target, { label: `perf:${name}`, weight: 0 })];
    }
    case "begin":
    case "end":
      return [plain(loading, attach, { kind }, { label: kind })];
    case "watchpoint":
      return [plain(loading, attach, watchpoint(loading, attach), { label: "watchpoint" })];
  }
}

function syscall(kernel: Kernel, attach: Attach, at: "enter" | "exit"): EventSchema {
  return found(attach, kernel.syscall(text(attach, 0, "openat"), at));
}

function watchpoint(loading: Loading, attach: Attach): AttachTarget {
  const given = attach.args[0] as Record<string, unknown> | undefined;
  const { pid = loading.pid, symbol, access = "write" } = given ?? {};
  const fail = (message: string): never => {
    throw errorAt(attach.site, `watchpoint: ${message}`, undefined, 0);
  };
  if (typeof pid !== "number") return fail("pid is the process whose memory is watched");
  const variable =
    typeof symbol === "string" && loading.unit.kernel.variable !== undefined
      ? found(attach, loading.unit.kernel.variable(pid, symbol))
      : undefined;
  const address = variable?.address ?? given?.["address"];
  if (typeof address !== "number" && typeof address !== "bigint")
    return fail("address is a number, or symbol the name of a variable: what is watched");
  const bytes = given?.["bytes"] ?? widthOf(variable);
  if (bytes !== 1 && bytes !== 2 && bytes !== 4 && bytes !== 8)
    return fail("bytes is 1, 2, 4 or 8");
  if (access !== "write" && access !== "read-write" && access !== "execute")
    return fail('access is "write", "read-write" or "execute"');
  return { kind: "watchpoint", pid, address: BigInt(address), bytes, access };
}

/** All of a number, the first word of anything else. */
function widthOf(variable: Variable | undefined): number {
  const bytes = variable?.bytes ?? 8;
  return [1, 2, 4, 8].includes(bytes) ? bytes : 8;
}

/** A handler without an event. */
function plain(
  loading: Loading,
  attach: Attach,
  target: AttachTarget,
  options: HandlerOptions,
): Probe {
  const l = newLowering(loading.unit, attach.handler, options);
  lowerBody(l, []);
  return probe(loading, attach, l, target);
}

/** A handler whose parameter is the event. */
function onEvent(loading: Loading, attach: Attach, schema: EventSchema): Probe {
  const l = newLowering(loading.unit, attach.handler, { label: schema.label, schema });
  noteAll(loading, schema);
  onlyWhere(l, schema);
  lowerBody(l, [eventOf(schema)]);
  return probe(loading, attach, l, schema.target);
}

/** A handler whose parameters are the arguments, by position; on returns the result is the first. */
function onArguments(loading: Loading, attach: Attach, schema: EventSchema): Probe {
  const l = newLowering(loading.unit, attach.handler, { label: schema.label, schema });
  noteAll(loading, schema);
  lowerBody(l, argumentsOf(l, schema));
  return probe(loading, attach, l, schema.target);
}

function onFunction(loading: Loading, attach: Attach, kind: "uprobe" | "uretprobe"): Probe[] {
  const { kernel } = loading.unit;
  const where = attach.args[1];
  const symbol = typeof where === "number" ? `0x${where.toString(16)}` : text(attach, 1, "malloc");
  const path = text(attach, 0, "/usr/bin/app");
  const schemaAt = (at: "entry" | "return" | "session") =>
    kernel.uprobe(path, symbol, at, loading.pid);
  if (kind === "uprobe" && usesSpan(loading, attach.handler))
    return functionSpan(loading, attach, schemaAt);
  const schema = found(attach, schemaAt(kind === "uprobe" ? "entry" : "return"), 1);
  return [onArguments(loading, attach, schema)];
}
