/**
 * `.bpf.o` objects from C, Rust or Zig as a probe set: the same session loads, attaches and drains them.
 *
 *     SEC("tp_btf/sched_switch") · raw_tp/NAME · tracepoint/CATEGORY/EVENT · uprobe/FILE:FUNCTION · uretprobe/… ·
 *     kprobe/NAME · kretprobe/NAME · fentry/NAME · fexit/NAME · perf_event (the CPU clock, 99 times a second)
 */
import { readFileSync } from "node:fs";
import type { Handler, MapSpec } from "../../ir.ts";
import { type Probe, ProbeError, type ProbeSet, type Program } from "../../program.ts";
import { type EventSchema, isMissing, type Kernel, type Missing } from "../../schema.ts";
import { kernelTypes } from "../vmlinux.ts";
import { readCoreRelocations } from "./core.ts";
import { linkProgram } from "./link.ts";
import { type ObjectMaps, readMaps } from "./maps.ts";
import { type ObjectParts, type ObjectSection, readObject } from "./read.ts";
import { requireRecord } from "./records.ts";

export interface ObjectProbes {
  readonly set: ProbeSet;
  /** In place of the compiler: the programs are there already. */
  readonly compile: (handler: Handler) => Program;
}

const sampleHz = 99;
const gpl = [
  "GPL",
  "GPL v2",
  "GPL and additional rights",
  "Dual BSD/GPL",
  "Dual MIT/GPL",
  "Dual MPL/GPL",
];

/** @throws ProbeError in words, FormatError when the file is no BPF object */
export function loadObject(file: string, kernel: Kernel): ObjectProbes {
  const parts = readObject(bytesOf(file));
  const license = textOf(parts.sections.find(({ name }) => name === "license"));
  if (!gpl.includes(license))
    throw new ProbeError(
      `${file}: probes are loaded under the GPL; this object's license is ${license === "" ? "not stated" : license}`,
      undefined,
      'char _license[] SEC("license") = "Dual BSD/GPL";',
    );
  const maps = readMaps(parts);
  const core = readCoreRelocations(parts.extension, (offset) => parts.btf.text(offset));
  const context = { parts, maps, core, kernel: kernelTypes()?.btf };
  const programs = new Map<Handler, Program>();
  const probes: Probe[] = [];
  for (const symbol of parts.symbols) {
    const section = parts.sections[symbol.section];
    if (symbol.kind !== "function" || section?.isCode !== true || section.name === ".text")
      continue;
    const schema = targetOf(section.name, kernel);
    if (isMissing(schema))
      throw new ProbeError(`${file}: ${section.name}: ${schema.missing}`, undefined, schema.fix);
    const linked = linkProgram(symbol, context);
    const handler: Handler = {
      name: symbol.name,
      files: [],
      maps: linked.maps,
      slots: [],
      localCount: 0,
      body: [],
      result: 0n,
    };
    programs.set(handler, linked.program);
    probes.push({ label: `${section.name} (${symbol.name})`, target: schema.target, handler });
  }
  if (probes.length === 0) throw new ProbeError(`${file} has no programs that kymo can attach`);
  return { set: probeSet(file, parts, maps, probes), compile: (handler) => programs.get(handler)! };
}

function bytesOf(file: string): Uint8Array {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new ProbeError(`${file}: ${(error as NodeJS.ErrnoException).code}`);
  }
}

function probeSet(
  file: string,
  { btf }: ObjectParts,
  { all }: ObjectMaps,
  probes: readonly Probe[],
): ProbeSet {
  const rings = all.filter(({ kind }) => kind === "ring");
  const [own, second] = rings;
  if (second !== undefined)
    throw new ProbeError(`${file} has ${rings.length} rings; kymo drains one`);
  const ring = own ?? noRing;
  return {
    files: [],
    probes,
    sites: [],
    eventTypes: [],
    aggregations: [],
    maps: all,
    ring,
    losses: { kind: "array", name: "kymo_losses", keyBytes: 4, valueBytes: 8, max: 1 },
    notes: [],
    ...(own === undefined ? {} : { foreign: requireRecord(btf, own.name) }),
  };
}

const noRing: MapSpec = {
  kind: "ring",
  name: "kymo_ring",
  keyBytes: 0,
  valueBytes: 0,
  max: 65_536,
};

function textOf(section: ObjectSection | undefined): string {
  const text = Buffer.from(section?.bytes ?? []).toString("latin1");
  return text.replace(/\0.*$/s, "");
}

/** Where the name of a program's section says that it goes. */
function targetOf(
  section: string,
  kernel: Kernel,
): EventSchema | Missing | Pick<EventSchema, "target"> {
  const [, kind = section, place = ""] = /^([^/]+)\/(.*)$/s.exec(section) ?? [];
  const at = place.lastIndexOf(":");
  const [file, where] = [place.slice(0, Math.max(0, at)), place.slice(at + 1)];
  switch (kind) {
    case "tp_btf":
      return kernel.rawTracepoint(place);
    case "raw_tp":
    case "raw_tracepoint":
      return { target: { kind: "raw-tracepoint", event: place, btf: false } };
    case "tp":
    case "tracepoint": {
      const [category = "", event = ""] = place.split("/");
      return kernel.tracepoint(category, event);
    }
    case "uprobe":
    case "uprobe.s":
    case "uprobe.multi":
      return kernel.uprobe(file, where, "entry");
    case "uretprobe":
    case "uretprobe.s":
    case "uretprobe.multi":
      return kernel.uprobe(file, where, "return");
    case "uprobe.session":
      return kernel.uprobe(file, where, "session");
    case "kprobe":
    case "kretprobe":
      return kernel.kprobe(place, kind === "kprobe" ? "entry" : "return");
    case "fentry":
    case "fexit":
      return kernel.fentry(place, kind === "fentry" ? "entry" : "return");
    case "perf_event":
      return { target: { kind: "profile", hz: sampleHz } };
    default:
      return { missing: `kymo does not attach programs of sections ${kind}` };
  }
}
