/**
 * A probe session in the kernel: maps are made, every program is loaded, then all are attached; an error on the way
 * undoes what was done. Maps, programs and links are file descriptors of this process and go with it.
 *
 *     loadSession ─► runBegin ─► attach ─► …events… ─► detach ─► runEnd ─► read the maps out ─► close
 */
import { errnoName } from "../../linux/errno.ts";
import { type Libc, RLIMIT_MEMLOCK } from "../../linux/libc.ts";
import { explainRefusal } from "../codegen/verifier-log.ts";
import type { Handler, MapKind, MapSpec } from "../ir.ts";
import { type Probe, ProbeError, type ProbeSet, type Program } from "../program.ts";
import { type AttachContext, type AttachFeatures, type Way, wayTo } from "./attach.ts";
import { Bpf, BpfError, MapType, mapReadOnlyProgram } from "./bpf.ts";
import { type Btf, BtfKind } from "./btf.ts";
import { Features, rightsFix } from "./features.ts";
import { functionInfo, functionTypes } from "./function-types.ts";
import { kernelTypes } from "./vmlinux.ts";

export interface ProbeStats {
  /** The probe's. */
  readonly label: string;
  /** Since it was loaded; 0 where the session does not measure. */
  readonly runs: number;
  /** ns that the runs took together, as the kernel measured. */
  readonly ns: number;
}

export interface SessionOptions {
  /** Let the kernel count runs and time of programs; costs some ns for each run of any program of this machine. */
  readonly measure?: boolean;
  /** Of the ring, instead of what the set says: a power of two of at least a page. */
  readonly ringBytes?: number;
  /** Instead of what this kernel was found to have: tests of the ways that older kernels need. */
  readonly features?: AttachFeatures;
}

const mapTypes: { readonly [Kind in MapKind]: number } = {
  hash: MapType.hash,
  "percpu-hash": MapType.percpuHash,
  "lru-hash": MapType.lruHash,
  array: MapType.array,
  "percpu-array": MapType.percpuArray,
  "stack-trace": MapType.stackTrace,
  ring: MapType.ring,
};

interface LoadedProbe {
  readonly probe: Probe;
  readonly fd: number;
  readonly way: Way;
}

/**
 * Makes the maps and loads the programs; attaches nothing yet.
 * @throws ProbeError at the user's line for what the verifier refuses, BpfError for maps and rights. Nothing stays behind.
 */
export function loadSession(
  libc: Libc,
  set: ProbeSet,
  compile: (handler: Handler) => Program,
  options: SessionOptions = {},
): LoadedSession {
  return new LoadedSession(libc, set, compile, options);
}

export class LoadedSession {
  readonly maps: ReadonlyMap<MapSpec, number>;
  readonly ringFd: number;
  readonly ringBytes: number;
  readonly lossesFd: number;
  readonly #bpf: Bpf;
  readonly #context: AttachContext;
  readonly #maps: Map<MapSpec, number> = new Map();
  readonly #programs: LoadedProbe[] = [];
  /** Of links and perf events: closing them detaches. */
  #attached: number[] = [];
  #stats: number | undefined;

  constructor(
    libc: Libc,
    set: ProbeSet,
    compile: (handler: Handler) => Program,
    options: SessionOptions,
  ) {
    this.#bpf = new Bpf(libc);
    const btf = kernelTypes(libc)?.btf;
    const features = options.features ?? new Features(libc, btf);
    this.#context = { libc, bpf: this.#bpf, btf, features };
    this.maps = this.#maps;
    try {
      if (options.measure === true) this.#stats = this.#bpf.enableStats();
      this.ringBytes = options.ringBytes ?? set.ring.max;
      this.#createMap(libc, set.ring, this.ringBytes);
      for (const map of [set.losses, ...set.maps]) this.#createMap(libc, map);
      for (const probe of set.probes)
        this.#programs.push(this.#load(probe, compile(probe.handler)));
    } catch (error) {
      this.close();
      throw error;
    }
    this.ringFd = this.#maps.get(set.ring)!;
    this.lossesFd = this.#maps.get(set.losses)!;
  }

  /** Attaches every program, or none. @throws ProbeError at the probe's place. */
  attach(): void {
    for (const { probe, way, fd } of this.#programs) {
      try {
        way.attach(fd, this.#attached);
      } catch (error) {
        this.detach();
        throw atProbe(probe, messageOf(error));
      }
    }
  }

  /** Runs the `begin` handlers, in the order they were written. */
  runBegin(): void {
    this.#run("begin");
  }
  runEnd(): void {
    this.#run("end");
  }

  #run(kind: "begin" | "end"): void {
    for (const { probe, fd } of this.#programs) {
      if (probe.target.kind !== kind) continue;
      try {
        this.#bpf.testRun(fd);
      } catch (error) {
        throw atProbe(probe, `${kind}: ${messageOf(error)}`);
      }
    }
  }

  /** No program runs from here on. Maps and the ring stay readable. */
  detach(): void {
    for (const fd of this.#attached.reverse()) this.#bpf.close(fd);
    this.#attached = [];
  }

  /** One for each probe of the set, in its order. */
  stats(): ProbeStats[] {
    const info = new Uint8Array(224);
    const view = new DataView(info.buffer);
    return this.#programs.map(({ probe, fd }) => {
      info.fill(0);
      this.#bpf.info(fd, info);
      // bpf_prog_info: run_time_ns, run_cnt
      const ns = Number(view.getBigUint64(192, true));
      return { label: probe.label, runs: Number(view.getBigUint64(200, true)), ns };
    });
  }

  /** Detaches and lets go of everything: the kernel frees it. */
  close(): void {
    this.detach();
    for (const { fd } of this.#programs.splice(0)) this.#bpf.close(fd);
    for (const fd of this.#maps.values()) this.#bpf.close(fd);
    this.#maps.clear();
    if (this.#stats !== undefined) this.#bpf.close(this.#stats);
    this.#stats = undefined;
  }

  #createMap(libc: Libc, map: MapSpec, max: number = map.max): void {
    if (this.#maps.has(map)) return;
    const fd = this.#newMap(libc, map, max);
    this.#maps.set(map, fd);
    if (map.contents === undefined) return;
    this.#bpf.update(fd, new Uint8Array(map.keyBytes), map.contents);
    if (map.readOnly === true) this.#bpf.freeze(fd);
  }

  #newMap(libc: Libc, map: MapSpec, max: number): number {
    const { kind, name, keyBytes, valueBytes, readOnly } = map;
    const flags = readOnly === true ? mapReadOnlyProgram : 0;
    const definition = { type: mapTypes[kind], name, keyBytes, valueBytes, max, flags };
    try {
      return this.#bpf.createMap(definition);
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      if (tooLarge(error))
        throw new ProbeError(
          `the kernel has no room for ${name}: ${max.toLocaleString("en")} entries of ${keyBytes + valueBytes} bytes${kind.startsWith("percpu") ? ", for each CPU" : ""}`,
          undefined,
          "give it a smaller max, as in { max: 10_240 }",
        );
      if (!noRights(error)) throw error;
    }
    // Before Linux 5.11 maps count as locked memory, of which there are 64 KiB.
    libc.unlimit(RLIMIT_MEMLOCK);
    try {
      return this.#bpf.createMap(definition);
    } catch (error) {
      if (!(error instanceof BpfError) || !noRights(error)) throw error;
      const message = `probes are not available here: ${error.message}`;
      throw new ProbeError(message, undefined, rightsFix());
    }
  }

  #load(probe: Probe, program: Program): LoadedProbe {
    let way: Way;
    try {
      way = wayTo(probe.target, this.#context);
    } catch (error) {
      throw atProbe(probe, messageOf(error));
    }
    const instructions = this.#linked(probe, program);
    const { type, attachType, attachBtfId, flags } = way;
    const { name, functions } = program;
    let btf: number | undefined;
    try {
      if (functions !== undefined) btf = this.#bpf.loadBtf(functionTypes(functions));
      const fd = this.#bpf.load({
        type,
        name,
        instructions,
        ...(btf === undefined || functions === undefined
          ? {}
          : { btf, functions: functionInfo(functions) }),
        ...(attachType === undefined ? {} : { attachType }),
        ...(attachBtfId === undefined ? {} : { attachBtfId }),
        ...(flags === undefined ? {} : { flags }),
      });
      return { probe, fd, way };
    } catch (error) {
      if (!(error instanceof BpfError)) throw error;
      // The verifier has words for what it refuses; the rest (rights, an attach type the kernel lacks) is an errno.
      if (error.log.trim() !== "") throw explainRefusal(error.log, program, probe.handler);
      throw atProbe(probe, error.message, noRights(error) ? rightsFix() : undefined);
    } finally {
      if (btf !== undefined) this.#bpf.close(btf); // the program holds what it needs of it
    }
  }

  /** The instructions with what only this session knows: descriptors of its maps, ids of kernel functions. */
  #linked({ handler }: Probe, program: Program): Uint8Array {
    const instructions = Uint8Array.from(program.instructions);
    const view = new DataView(instructions.buffer);
    const setImmediate = (instruction: number, value: number): void =>
      view.setInt32(8 * instruction + 4, value, true);
    for (const { instruction, map } of program.mapReferences)
      setImmediate(instruction, this.#maps.get(handler.maps[map]!)!);
    for (const { instruction, name } of program.kfuncReferences)
      setImmediate(instruction, kernelFunction(this.#context.btf, name));
    return instructions;
  }
}

function kernelFunction(btf: Btf | undefined, name: string): number {
  const id = btf?.find(name, BtfKind.function) ?? 0;
  if (id === 0) throw new ProbeError(`this kernel has no function ${name} for BPF programs`);
  return id;
}

function tooLarge({ errno }: BpfError): boolean {
  return errnoName(errno) === "ENOMEM" || errnoName(errno) === "E2BIG";
}

function noRights({ errno }: BpfError): boolean {
  return errnoName(errno) === "EPERM" || errnoName(errno) === "EACCES";
}

function atProbe({ label, at, handler }: Probe, message: string, fix?: string): ProbeError {
  const file = at === undefined ? undefined : handler.files[at.file];
  return new ProbeError(
    `${label}: ${message}`,
    at === undefined || file === undefined ? undefined : { file, offset: at.offset },
    fix,
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
