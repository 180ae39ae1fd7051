/** What attach kinds have in common: answers of the kernel, handlers' parameters, the finished probe. */
import type { Block, Expr, SourceFile } from "../ir.ts";
import { type AttachTarget, type Probe, ProbeError } from "../program.ts";
import { type EventSchema, isMissing, type Missing } from "../schema.ts";
import { compare, compute, constant } from "./builder.ts";
import { collecting, type Lowering, moduleOf } from "./context.ts";
import type { DataType } from "./data-type.ts";
import { helper } from "./helpers.ts";
import { finish, type Unit } from "./lower.ts";
import { fieldValue, structNamed } from "./memory.ts";
import { type Attach, errorAt } from "./session.ts";
import { broken, describe, type Event, type Value } from "./values.ts";
import { narrow, toWord } from "./words.ts";

/** What attach calls need besides the session. */
export interface Loading {
  readonly unit: Unit;
  readonly files: readonly SourceFile[];
  readonly pid: number | undefined;
}

export function text(attach: Attach, argument: number, example: string): string {
  const value = attach.args[argument];
  if (typeof value === "string") return value;
  throw errorAt(
    attach.site,
    `${attach.kind} takes a text here ("${example}"), found ${describe({ kind: "known", value })}`,
    undefined,
    argument,
  );
}

export function found<T extends object>(attach: Attach, answer: T | Missing, argument = 0): T {
  if (!isMissing(answer)) return answer as T;
  const near = answer.suggestions?.slice(0, 3).join(", ") ?? "";
  throw errorAt(
    attach.site,
    `${answer.missing}${near === "" ? "" : `; did you mean ${near}?`}`,
    answer.fix,
    argument,
  );
}

export function probe(loading: Loading, attach: Attach, l: Lowering, target: AttachTarget): Probe {
  const handler = finish(l, l.label.replaceAll(/[^\w]+/g, "_"), loading.files);
  return {
    label: l.label,
    target: l.sleeping.used && target.kind === "uprobe" ? { ...target, sleepable: true } : target,
    handler:
      loading.pid === undefined || !seesAllProcesses.has(target.kind)
        ? handler
        : { ...handler, body: [...onlyProcess(loading.pid, handler.result), ...handler.body] },
    at: { file: attach.site.file, offset: attach.site.offset },
  };
}

/** Kinds whose events come from every process. The kernel itself keeps uprobes to one. */
const seesAllProcesses: ReadonlySet<AttachTarget["kind"]> = new Set([
  "tracepoint",
  "raw-tracepoint",
  "kprobe",
  "fentry",
  "profile",
  "perf-event",
]);

/** Only while this process runs. */
function onlyProcess(pid: number, result: bigint): Block {
  const both: Expr = { op: "call", helper: helper.pidTgid, args: [] };
  const current = compute(">>", both, constant(32));
  return [
    {
      op: "if",
      condition: compare("!=", current, constant(pid)),
      then: [{ op: "return", value: constant(result) }],
      else: [],
    },
  ];
}

export function eventOf(schema: EventSchema, fields: Event["fields"] = "all"): Value {
  return { kind: "event", schema, fields };
}

/** The program is for every system call: the handler is for one. */
export function onlyWhere(l: Lowering, { only }: EventSchema): void {
  if (only === undefined) return;
  const value = fieldValue(l, only.field);
  if (value.kind !== "word") return;
  l.build.add({
    op: "if",
    condition: compare("!=", value.expr, constant(only.equals)),
    then: [{ op: "return", value: constant(l.result) }],
    else: [],
  });
}

export function noteAll(loading: Loading, schema: EventSchema): void {
  for (const note of schema.notes) loading.unit.registry.notes.add(note);
}

/** Values for a handler's parameters, as far as it names them; typed by its annotations. */
export function argumentsOf(l: Lowering, schema: EventSchema): Value[] {
  const fields = [...(schema.result === undefined ? [] : [schema.result]), ...schema.fields];
  return l.frame.record.node.params.map((parameter, i) =>
    collecting<Value>(
      l,
      () => {
        const field = fields[i];
        if (field === undefined)
          throw errorAtNode(
            l,
            parameter.start,
            `${schema.label} has ${fields.length} argument${fields.length === 1 ? "" : "s"}: ${fields.map(({ name }) => name).join(", ")}`,
          );
        const value = fieldValue(l, field);
        const annotation =
          parameter.type === "Identifier" ? parameter.typeAnnotation?.typeAnnotation : undefined;
        if (annotation === undefined || annotation.type === "TSAnyKeyword") return value;
        return asAnnotated(l, value, l.typeOf(annotation), field.pointee);
      },
      broken,
    ),
  );
}

function errorAtNode(l: Lowering, offset: number, message: string): ProbeError {
  return new ProbeError(message, { file: moduleOf(l).source, offset });
}

/** What the annotation says a register holds. */
function asAnnotated(
  l: Lowering,
  value: Value,
  type: DataType,
  pointee: "direct" | "kernel" | "user",
): Value {
  if (value.kind === "broken") return value;
  const node = l.frame.record.node;
  switch (type.kind) {
    case "int":
      return narrow(toWord(l, value, node), type.type);
    case "bool": {
      const word = toWord(l, value, node);
      return word.bool === true
        ? word
        : {
            kind: "word",
            expr: compare("!=", narrow(word, { bits: 8, signed: false }).expr, constant(0)),
            type: { bits: 8, signed: false },
            bool: true,
          };
    }
    case "text": {
      if (value.kind === "text") return value;
      const memory = value.kind === "pointer" ? value.memory : pointee;
      return {
        kind: "pointer",
        expr: toWord(l, value, node).expr,
        to: { kind: "chars", bytes: type.bytes },
        memory,
      };
    }
    case "pointer": {
      if (type.to === undefined || (value.kind === "pointer" && value.to.kind === "struct"))
        return value;
      return {
        kind: "pointer",
        expr: toWord(l, value, node).expr,
        to: structNamed(l, type.to),
        memory: value.kind === "pointer" ? value.memory : pointee,
      };
    }
    default:
      return value;
  }
}
