/**
 * What this kernel lets probes do, found out by trying: a program of two instructions is loaded, a link that can't
 * succeed is asked for, and the errno tells what the kernel stumbled over. Nothing stays behind.
 */
import { existsSync, readFileSync } from "node:fs";
import { errnoName } from "../../linux/errno.ts";
import type { Libc } from "../../linux/libc.ts";
import { AttachType, Bpf, BpfError, cString, ProgramType } from "./bpf.ts";
import { type Btf, BtfKind } from "./btf.ts";
import { rawTracepointType } from "./tracepoints.ts";

export type Feature =
  | { readonly ok: true }
  | {
      readonly ok: false;
      /** The kernel's own words where there are some. */
      readonly reason: string;
      readonly fix?: string;
    };

const yes: Feature = { ok: true };

/** r0 = 0; exit */
const nothing: Uint8Array = Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0);

export const uprobeType = "/sys/bus/event_source/devices/uprobe/type";
export const kprobeType = "/sys/bus/event_source/devices/kprobe/type";

export class Features {
  readonly #libc: Libc;
  readonly #bpf: Bpf;
  readonly #btf: Btf | undefined;
  readonly #known: Map<string, Feature> = new Map();

  constructor(libc: Libc, btf: Btf | undefined) {
    this.#libc = libc;
    this.#bpf = new Bpf(libc);
    this.#btf = btf;
  }

  /** Programs at raw tracepoints: what every session of probes needs at least. */
  get programs(): Feature {
    return this.#once("programs", () => {
      try {
        this.#bpf.close(this.#load(ProgramType.rawTracepoint, 0));
        return yes;
      } catch (error) {
        return refused(error, rightsFix());
      }
    });
  }

  /** Raw tracepoints whose arguments have types. */
  get typedTracepoints(): Feature {
    return this.#once("typedTracepoints", () => {
      const id = this.#btf === undefined ? 0 : rawTracepointType(this.#btf, "sys_enter");
      if (id === 0) return noBtf;
      return this.#attempt(ProgramType.tracing, AttachType.traceRawTp, id, () => undefined);
    });
  }

  /** Many places of a program in one link (Linux 6.6). */
  get uprobeMulti(): Feature {
    return this.#once("uprobeMulti", () => this.#uprobeLink(AttachType.uprobeMulti, "6.6"));
  }

  /** Entry and return in one program (Linux 6.13). */
  get uprobeSession(): Feature {
    return this.#once("uprobeSession", () => this.#uprobeLink(AttachType.uprobeSession, "6.13"));
  }

  /** Uprobes by perf events, one for each place. */
  get uprobe(): Feature {
    return this.#once("uprobe", () =>
      existsSync(uprobeType)
        ? yes
        : { ok: false, reason: "this kernel was built without uprobes (CONFIG_UPROBE_EVENTS)" },
    );
  }

  /** Kernel functions by breakpoints: through a link of many, or by perf events. */
  get kprobe(): Feature {
    return this.#once("kprobe", () => {
      if (existsSync(kprobeType)) return yes;
      const multi = this.kprobeMulti;
      if (multi.ok) return yes;
      return {
        ok: false,
        reason: `this kernel was built without kprobes (no ${kprobeType}; ${multi.reason})`,
        fix: "use a tracepoint, a raw tracepoint or a syscall probe: kymo probe --list",
      };
    });
  }

  get kprobeMulti(): Feature {
    return this.#once("kprobeMulti", () =>
      this.#attempt(ProgramType.kprobe, AttachType.kprobeMulti, 0, (program) => {
        const name = cString("vfs_read");
        const names = BigUint64Array.of(this.#libc.addressOf(name));
        const link = this.#bpf.createLink(
          program,
          0,
          AttachType.kprobeMulti,
          "kprobe_multi",
          (attr, libc) => attr.u32(20, 1).pointer(24, libc, new Uint8Array(names.buffer)),
        );
        this.#bpf.close(link);
      }),
    );
  }

  /** Entry and return of kernel functions, without breakpoints. */
  get fentry(): Feature {
    return this.#once("fentry", () => {
      const id = this.#btf?.find("vfs_read", BtfKind.function) ?? 0;
      if (id === 0) return noBtf;
      const answer = this.#attempt(ProgramType.tracing, AttachType.traceFentry, id, (program) =>
        this.#bpf.close(this.#bpf.openRawTracepoint(program)),
      );
      return answer.ok
        ? answer
        : {
            ...answer,
            reason: `this kernel lets no program onto its functions' entries (${answer.reason})`,
            fix: "use a tracepoint, a raw tracepoint or a syscall probe: kymo probe --list",
          };
    });
  }

  /** A link to a directory fails with EBADF (no regular file) where links of this kind exist. */
  #uprobeLink(attachType: number, since: string): Feature {
    const path = cString("/");
    const offsets = new Uint8Array(8);
    const answer = this.#attempt(ProgramType.kprobe, attachType, 0, (program) => {
      try {
        this.#bpf.close(
          this.#bpf.createLink(program, 0, attachType, "uprobe_multi", (attr, libc) =>
            attr.pointer(16, libc, path).pointer(24, libc, offsets).u32(48, 1),
          ),
        );
      } catch (error) {
        if (!(error instanceof BpfError) || errnoName(error.errno) !== "EBADF") throw error;
      }
    });
    return answer.ok
      ? answer
      : { ...answer, reason: `${answer.reason} (Linux ${since} and newer have it)` };
  }

  #attempt(
    type: number,
    attachType: number,
    attachBtfId: number,
    use: (program: number) => void,
  ): Feature {
    let program: number | undefined;
    try {
      program = this.#load(type, attachType, attachBtfId);
      use(program);
      return yes;
    } catch (error) {
      return refused(error, undefined);
    } finally {
      if (program !== undefined) this.#bpf.close(program);
    }
  }

  #load(type: number, attachType: number, attachBtfId = 0): number {
    const instructions = nothing;
    return this.#bpf.load({ type, name: "kymo_try", instructions, attachType, attachBtfId });
  }

  #once(name: string, find: () => Feature): Feature {
    const known = this.#known.get(name) ?? find();
    this.#known.set(name, known);
    return known;
  }
}

const noBtf: Feature = {
  ok: false,
  reason: "this kernel does not describe its types (no /sys/kernel/btf/vmlinux)",
  fix: "use a kernel with CONFIG_DEBUG_INFO_BTF",
};

function refused(error: unknown, fix: string | undefined): Feature {
  if (!(error instanceof BpfError)) throw error;
  return { ok: false, reason: error.message, ...(fix === undefined ? {} : { fix }) };
}

/** What stands between this user and BPF programs, in words. */
export function rightsFix(): string {
  const lockdown = readText("/sys/kernel/security/lockdown");
  if (lockdown?.includes("[confidentiality]"))
    return "the kernel is locked down (confidentiality): boot without lockdown=confidentiality or Secure Boot";
  const level = readText("/proc/sys/kernel/unprivileged_bpf_disabled")?.trim();
  const why = level === undefined ? "" : ` (kernel.unprivileged_bpf_disabled is ${level})`;
  if (process.geteuid?.() === 0)
    return "root without CAP_BPF and CAP_PERFMON: start the container with --privileged, or with these capabilities";
  return `run with sudo, or give CAP_BPF and CAP_PERFMON${why}`;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // not in this kernel
  }
}
