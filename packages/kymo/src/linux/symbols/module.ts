/** One ELF file that is mapped somewhere: turns its file-relative addresses into frames. */

import path from "node:path";
import type { FrameInfo } from "@kymo/trace";
import type { ByteSource } from "./byte-source.ts";
import { openDebugFile } from "./debug-files.ts";
import { sourceName } from "./demangle/index.ts";
import { addressOfOffset, type Elf, type ElfSegment, loadSegments, readElf } from "./elf.ts";
import { hasFullSymbols, readFunctionStarts, readSymbols } from "./elf-symbols.ts";
import { type PltStub, readPlt } from "./plt.ts";
import { lastAtMost, type SymbolTable } from "./symbol-table.ts";

/** The longest `name@plt` stub: past it the address belongs to something else. */
const stubSize = 16;

export class Module {
  readonly path: string;
  readonly buildId: string | undefined;
  /** Bytes of memory its tables hold. */
  readonly byteLength: number;
  readonly #segments: readonly ElfSegment[];
  readonly #symbols: SymbolTable | undefined;
  readonly #stubs: readonly PltStub[];
  /** Of functions without a symbol, from unwind tables. */
  readonly #starts: Float64Array;
  /** By first address; one for each function that was asked for. */
  readonly #frames: Map<number, FrameInfo> = new Map();
  readonly #unknown: FrameInfo;

  /**
   * Reads the tables; `source` may be closed afterwards.
   *
   * @param file   path as the traced process sees it: what frames say
   * @param roots  where debug files are looked for: see `openDebugFile`
   * @throws FormatError when the file is not ELF
   */
  constructor(source: ByteSource, file: string, roots: readonly string[]) {
    const elf = readElf(source);
    this.path = file;
    this.buildId = elf.buildId;
    this.#segments = loadSegments(elf);
    this.#symbols = symbolsOf(elf, file, roots);
    this.#stubs = readPlt(elf);
    this.#starts = readFunctionStarts(elf);
    this.byteLength =
      (this.#symbols?.byteLength ?? 0) + this.#starts.byteLength + this.#stubs.length * 64;
    this.#unknown = { name: `[${path.basename(file)}]`, ...this.#where() };
  }

  /** Functions its symbol table knows. */
  get symbolCount(): number {
    return this.#symbols?.count ?? 0;
  }

  /** The function at a byte of the file. The same object for the same function, always. */
  frameAtOffset(offset: number): FrameInfo {
    const address = addressOfOffset(this.#segments, offset);
    return address === undefined ? this.#unknown : this.frameAt(address);
  }

  /** The function at an address of the symbol table. */
  frameAt(address: number): FrameInfo {
    const symbols = this.#symbols;
    const symbol = symbols === undefined ? -1 : symbols.find(address);
    if (symbols !== undefined && symbol >= 0) {
      const start = symbols.address(symbol);
      return this.#frames.get(start) ?? this.#newFrame(start, sourceName(symbols.name(symbol)));
    }
    const stub = this.#stubAt(address);
    if (stub !== undefined)
      return this.#frames.get(stub.address) ?? this.#newFrame(stub.address, sourceName(stub.name));
    const at = lastAtMost(this.#starts, address);
    if (at < 0) return this.#unknown;
    const start = this.#starts[at]!;
    const name = `${path.basename(this.path)}+0x${start.toString(16)}`;
    return this.#frames.get(start) ?? this.#newFrame(start, name);
  }

  #newFrame(start: number, name: string): FrameInfo {
    const frame: FrameInfo = { name, ...this.#where(), address: BigInt(start) };
    this.#frames.set(start, frame);
    return frame;
  }

  #where(): Pick<FrameInfo, "module" | "buildId"> {
    return this.buildId === undefined
      ? { module: this.path }
      : { module: this.path, buildId: this.buildId };
  }

  #stubAt(address: number): PltStub | undefined {
    const stubs = this.#stubs;
    let low = 0;
    let high = stubs.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (stubs[middle]!.address <= address) low = middle + 1;
      else high = middle;
    }
    const stub = stubs[low - 1];
    return stub !== undefined && address < stub.address + stubSize ? stub : undefined;
  }
}

function symbolsOf(elf: Elf, file: string, roots: readonly string[]): SymbolTable | undefined {
  if (hasFullSymbols(elf)) return readSymbols(elf);
  const debug = openDebugFile(elf, file, roots);
  if (debug === undefined) return readSymbols(elf);
  try {
    return readSymbols(debug) ?? readSymbols(elf);
  } finally {
    debug.source.close();
  }
}
