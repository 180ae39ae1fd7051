/**
 * Kernel functions, from /proc/kallsyms:
 *
 *     ffffffff81000000 T _text
 *     ffffffffa0001000 t ext4_init	[ext4]
 *
 * Addresses are kept modulo 2^52, where a float64 is exact; kernels do not span more.
 */
import type { FrameInfo } from "@kymo/trace";
import { readUnsized } from "./byte-source.ts";
import { buildIdOf } from "./elf.ts";
import { rank, SymbolTable } from "./symbol-table.ts";

const fileLimit = 256 * 1024 * 1024;
/** Behind the last function of a module nothing says where it ends. */
const functionLimit = 1024 * 1024;

export interface KernelSymbols {
  /** The function at a kernel address. The same object for the same function, always. */
  frame(ip: bigint): FrameInfo;
  /** Functions known. */
  readonly count: number;
  /** Why there are no names, and what to do about it; undefined when there are. */
  readonly hidden: { readonly reason: string; readonly fix: string } | undefined;
}

/** @param proc  "/proc"; @param sys "/sys" */
export function readKernelSymbols(proc: string, sys: string): KernelSymbols {
  let text: Uint8Array;
  try {
    text = readUnsized(`${proc}/kallsyms`, fileLimit);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    return noSymbols(
      `${proc}/kallsyms: ${code}`,
      "use a kernel built with CONFIG_KALLSYMS, and mount /proc",
    );
  }
  return parseKallsyms(
    text,
    (module) => kernelBuildId(sys, module),
    () => restriction(proc),
  );
}

/** The settings that decide who sees kernel addresses, for the message. */
function restriction(proc: string): string {
  const value = (name: string): string => {
    try {
      const bytes = readUnsized(`${proc}/sys/kernel/${name}`, 64);
      return `kernel.${name} is ${new TextDecoder().decode(bytes).trim()}`;
    } catch {
      return `kernel.${name} cannot be read`;
    }
  };
  return `${value("kptr_restrict")}, ${value("perf_event_paranoid")}`;
}

function noSymbols(reason: string, fix: string): KernelSymbols {
  const frame: FrameInfo = { name: "[kernel]", module: "[kernel.kallsyms]" };
  return { frame: () => frame, count: 0, hidden: { reason, fix } };
}

function kernelBuildId(sys: string, module: string | undefined): string | undefined {
  const file =
    module === undefined
      ? `${sys}/kernel/notes`
      : `${sys}/module/${module}/notes/.note.gnu.build-id`;
  try {
    return buildIdOf(readUnsized(file, 64 * 1024), true);
  } catch {
    return undefined; // older kernels and BPF programs have none
  }
}

/**
 * Parses the text of /proc/kallsyms.
 *
 * @param text         kept: names are decoded from it on demand
 * @param buildIdOf    of a module, or of the kernel itself (undefined); asked once each
 * @param settings     those that hide addresses, for the message
 */
export function parseKallsyms(
  text: Uint8Array,
  buildIdOf: (module: string | undefined) => string | undefined = () => undefined,
  settings: () => string = () => "settings unknown",
): KernelSymbols {
  const { raw, anyAddress } = parseLines(text);
  if (raw.count === 0)
    return noSymbols(
      "/proc/kallsyms lists no functions",
      "use a kernel built with CONFIG_KALLSYMS",
    );
  if (!anyAddress)
    return noSymbols(
      `kernel addresses are hidden (${settings()})`,
      "run with sudo, or: sudo sysctl kernel.kptr_restrict=0 kernel.perf_event_paranoid=1",
    );
  const table = new SymbolTable(raw, {
    strings: text,
    nameEnd: 0x21,
    endOf: (address) => address + functionLimit,
  });
  const frames = new Map<number, FrameInfo>();
  const modules = new Map<string, Pick<FrameInfo, "module" | "buildId">>();
  const unknown: FrameInfo = { name: "[kernel]", module: "[kernel.kallsyms]" };
  const where = (module: string): Pick<FrameInfo, "module" | "buildId"> => {
    const known = modules.get(module);
    if (known !== undefined) return known;
    const id = buildIdOf(module === "" ? undefined : module.slice(1, -1));
    const name = module === "" ? "[kernel.kallsyms]" : module;
    const made = id === undefined ? { module: name } : { module: name, buildId: id };
    modules.set(module, made);
    return made;
  };
  return {
    count: table.count,
    hidden: undefined,
    frame(ip) {
      const address = Number(BigInt.asUintN(52, ip));
      const symbol = table.find(address);
      if (symbol < 0) return unknown;
      const known = frames.get(symbol);
      if (known !== undefined) return known;
      const start = ip - BigInt(address - table.address(symbol));
      const frame: FrameInfo = {
        name: table.name(symbol),
        ...where(moduleAfter(text, table.nameBytesEnd(symbol))),
        address: start,
      };
      frames.set(symbol, frame);
      return frame;
    },
  };
}

/** "[ext4]" behind a name, or "". */
function moduleAfter(text: Uint8Array, at: number): string {
  if (text[at] !== 0x09) return "";
  const end = text.indexOf(0x0a, at);
  const word = latin1.decode(
    text.subarray(at + 1, Math.min(end < 0 ? text.length : end, at + 128)),
  );
  return /^\[[\w.-]+\]$/.test(word) && !word.includes("..") ? word : "";
}
const latin1 = new TextDecoder("latin1");

/** One pass over the bytes, no strings: 122,000 lines and their table take 20 ms; split and parseInt alone take 66. */
function parseLines(text: Uint8Array): {
  raw: ConstructorParameters<typeof SymbolTable>[0];
  anyAddress: boolean;
} {
  let lines = 1;
  for (let at = text.indexOf(0x0a); at >= 0; at = text.indexOf(0x0a, at + 1)) lines++;
  const addresses = new Float64Array(lines);
  const names = new Uint32Array(lines);
  const ranks = new Uint8Array(lines);
  let count = 0;
  let anyAddress = false;
  const length = text.length;
  for (let at = 0; at < length; ) {
    let high = 0;
    let low = 0;
    let digits = 0;
    for (; at < length; at++, digits++) {
      const digit = hexDigit(text[at]!);
      if (digit < 0) break;
      high = ((high << 4) | (low >>> 28)) & 0xfffff;
      low = ((low << 4) | digit) >>> 0;
    }
    const name = at + 3;
    if (digits > 0 && digits <= 16 && name < length && text[at] === 0x20 && text[at + 2] === 0x20) {
      const kind = text[at + 1]! | 0x20;
      if (high !== 0 || low !== 0) anyAddress = true;
      addresses[count] = high * 2 ** 32 + low;
      names[count] = name;
      // Text and weak symbols are functions; data, and markers at the end of text, only end the one before.
      const isFunction = kind === 0x74 || kind === 0x77;
      ranks[count] = isFunction && !isMarker(text, name) ? rank.unsized : rank.boundary;
      if (text[at + 1]! >= 0x61) ranks[count]! |= rank.local;
      if (!isPadding(text, name)) count++;
    }
    const end = text.indexOf(0x0a, at);
    at = end < 0 ? length : end + 1;
  }
  return { raw: { count, addresses, sizes: new Float64Array(lines), names, ranks }, anyAddress };
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

function startsWith(text: Uint8Array, at: number, word: string): boolean {
  for (let i = 0; i < word.length; i++) if (text[at + i] !== word.charCodeAt(i)) return false;
  return true;
}
const markers = ["_etext", "_einittext", "_sinittext", "_stext", "_text"].map(
  (name) => `${name}\n`,
);
const isMarker = (text: Uint8Array, name: number): boolean =>
  text[name] === 0x5f && markers.some((marker) => startsWith(text, name, marker));
/** `__pfx_f` and `__cfi_f` are the padding before f. */
const isPadding = (text: Uint8Array, name: number): boolean =>
  text[name] === 0x5f && (startsWith(text, name, "__pfx_") || startsWith(text, name, "__cfi_"));
