/**
 * One program of a `.bpf.o` as the kernel takes it: its own code, the subprograms that it calls behind it, maps and
 * kernel functions by reference, and what depends on the kernel's structs filled in.
 *
 *     [ on_switch … call ─┐ ][ fill … ]
 *                         └──►
 */
import type { MapSpec } from "../../ir.ts";
import { ProbeError, type Program } from "../../program.ts";
import type { Btf } from "../btf.ts";
import { type CoreRelocation, resolveCore } from "./core.ts";
import type { ObjectMaps } from "./maps.ts";
import type { ObjectParts, ObjectSection, ObjectSymbol } from "./read.ts";

export interface LinkContext {
  readonly parts: ObjectParts;
  readonly maps: ObjectMaps;
  readonly core: ReadonlyMap<string, readonly CoreRelocation[]>;
  /** The running kernel's. */
  readonly kernel: Btf | undefined;
}

export interface LinkedProgram {
  readonly program: Program;
  readonly maps: readonly MapSpec[];
}

const code = { loadImmediate: 0x18, call: 0x85 } as const;
/** What the source register of an instruction says about its immediate. */
const source = { map: 1, mapValue: 2, subprogram: 1, kernelFunction: 2, function: 4 } as const;
const instructionsLimit = 1_000_000;
/** A call of no helper: where code needs a field that this kernel lacks, and the verifier finds it unreachable. */
const missingHelper = 0x0bad_f1e1;

/** A function of the object, placed in the program. */
interface Piece {
  readonly symbol: ObjectSymbol;
  readonly section: ObjectSection;
  /** Its first instruction in the program. */
  readonly start: number;
}

/** @throws ProbeError for what kymo can't link */
export function linkProgram(entry: ObjectSymbol, context: LinkContext): LinkedProgram {
  const pieces: Piece[] = [];
  let count = 0;
  const place = (symbol: ObjectSymbol): Piece => {
    const known = pieces.find(
      (one) => one.symbol.section === symbol.section && one.symbol.offset === symbol.offset,
    );
    if (known !== undefined) return known;
    const section = context.parts.sections[symbol.section];
    const end = symbol.offset + symbol.bytes;
    if (section === undefined || end > section.bytes.length || symbol.bytes % 8 !== 0)
      throw new ProbeError(`${entry.name}: the function ${symbol.name} is cut short`);
    const piece = { symbol, section, start: count };
    count += symbol.bytes / 8;
    if (count > instructionsLimit) throw new ProbeError(`${entry.name} is too long`);
    pieces.push(piece);
    return piece;
  };
  place(entry);
  const linker = new Linker(entry, context, place);
  // Linking a piece may place further ones behind it.
  for (const piece of pieces) linker.link(piece);
  return linker.finish(
    pieces.map(({ symbol, start }) => ({ instruction: start, name: symbol.name })),
  );
}

class Linker {
  readonly #entry: ObjectSymbol;
  readonly #context: LinkContext;
  readonly #place: (symbol: ObjectSymbol) => Piece;
  readonly #chunks: Uint8Array[] = [];
  readonly #maps: MapSpec[] = [];
  readonly #mapReferences: { instruction: number; map: number }[] = [];
  readonly #kfuncReferences: { instruction: number; name: string }[] = [];

  constructor(entry: ObjectSymbol, context: LinkContext, place: (symbol: ObjectSymbol) => Piece) {
    this.#entry = entry;
    this.#context = context;
    this.#place = place;
  }

  link({ symbol, section, start }: Piece): void {
    const from = symbol.offset;
    const bytes = Uint8Array.from(section.bytes.subarray(from, from + symbol.bytes));
    const view = new DataView(bytes.buffer);
    const relocated = new Set<number>();
    for (const relocation of section.relocations) {
      const at = relocation.offset - from;
      if (at < 0 || at + 8 > bytes.length) continue;
      relocated.add(at);
      this.#relocate(view, at, start, relocation.symbol);
    }
    for (let at = 0; at + 8 <= bytes.length; at += 8)
      if (isCall(view, at) && !relocated.has(at)) this.#callNearby(view, at, start, symbol);
    for (const core of this.#context.core.get(section.name) ?? [])
      if (core.offset >= from && core.offset + 8 <= from + bytes.length)
        this.#adjust(view, core.offset - from, core);
    this.#chunks.push(bytes);
  }

  finish(functions: NonNullable<Program["functions"]>): LinkedProgram {
    return {
      maps: this.#maps,
      program: {
        name: this.#entry.name,
        instructions: Uint8Array.from(Buffer.concat(this.#chunks)),
        mapReferences: this.#mapReferences,
        kfuncReferences: this.#kfuncReferences,
        lines: [],
        stackBytes: 0,
        ...(functions.length > 1 ? { functions } : {}),
      },
    };
  }

  #relocate(view: DataView, at: number, start: number, symbol: ObjectSymbol): void {
    const instruction = start + at / 8;
    if (view.getUint8(at) === code.call) {
      if (symbol.section === 0) {
        setSource(view, at, source.kernelFunction);
        this.#kfuncReferences.push({ instruction, name: symbol.name });
        return;
      }
      // Against the section: the immediate counts from its start; against the function: it is −1.
      const offset =
        symbol.kind === "section" ? 8 * (view.getInt32(at + 4, true) + 1) : symbol.offset;
      this.#callTo(view, at, instruction, this.#functionAt(symbol.section, offset));
      return;
    }
    if (view.getUint8(at) !== code.loadImmediate || at + 16 > view.byteLength)
      throw this.#error(`an instruction refers to ${symbol.name} in a way kymo does not know`);
    const map = this.#context.maps.declared(symbol.section, symbol.offset);
    if (map !== undefined) {
      setSource(view, at, source.map);
      view.setInt32(at + 4, 0, true);
      this.#reference(instruction, map);
      return;
    }
    const globals = this.#context.maps.globals(symbol.section);
    if (globals !== undefined) {
      const offset = (symbol.kind === "section" ? 0 : symbol.offset) + view.getInt32(at + 4, true);
      setSource(view, at, source.mapValue);
      view.setInt32(at + 12, offset, true);
      this.#reference(instruction, globals);
      return;
    }
    const target = this.#context.parts.sections[symbol.section];
    if (symbol.section === 0 || target?.isCode !== true)
      throw this.#error(`it needs ${symbol.name || target?.name}, which kymo does not provide`);
    const offset = symbol.kind === "section" ? view.getInt32(at + 4, true) : symbol.offset;
    const piece = this.#place(this.#functionAt(symbol.section, offset));
    setSource(view, at, source.function);
    view.setInt32(at + 4, piece.start - instruction - 1, true);
  }

  /** A call of a function in the same section needs no relocation; a helper's has another source. */
  #callNearby(view: DataView, at: number, start: number, symbol: ObjectSymbol): void {
    if (view.getUint8(at + 1) >> 4 !== source.subprogram) return;
    const offset = symbol.offset + at + 8 + 8 * view.getInt32(at + 4, true);
    this.#callTo(view, at, start + at / 8, this.#functionAt(symbol.section, offset));
  }

  #callTo(view: DataView, at: number, instruction: number, target: ObjectSymbol): void {
    setSource(view, at, source.subprogram);
    view.setInt32(at + 4, this.#place(target).start - instruction - 1, true);
  }

  #functionAt(section: number, offset: number): ObjectSymbol {
    const found = this.#context.parts.symbols.find(
      (one) => one.kind === "function" && one.section === section && one.offset === offset,
    );
    if (found === undefined) throw this.#error(`it calls code at ${offset} that is no function`);
    return found;
  }

  #reference(instruction: number, map: MapSpec): void {
    let index = this.#maps.indexOf(map);
    if (index < 0) index = this.#maps.push(map) - 1;
    this.#mapReferences.push({ instruction, map: index });
  }

  #adjust(view: DataView, at: number, core: CoreRelocation): void {
    const { kernel, parts } = this.#context;
    if (kernel === undefined)
      throw this.#error("it depends on the layout of structs (CO-RE), and this kernel has no BTF");
    const resolved = resolveCore(core, parts.btf, kernel);
    if (resolved === undefined) {
      view.setUint8(at, code.call);
      view.setUint8(at + 1, 0);
      view.setInt16(at + 2, 0, true);
      view.setInt32(at + 4, missingHelper, true);
      return;
    }
    const { value, fieldBytes } = resolved;
    const opcode = view.getUint8(at);
    const kind = opcode & 7;
    if (opcode === code.loadImmediate && at + 16 <= view.byteLength) {
      view.setInt32(at + 4, Number(BigInt.asIntN(32, value)), true);
      view.setInt32(at + 12, Number(BigInt.asIntN(32, value >> 32n)), true);
    } else if (kind === 4 || kind === 7)
      view.setInt32(at + 4, Number(BigInt.asIntN(32, value)), true);
    else {
      view.setInt16(at + 2, Number(value), true);
      const width = fieldBytes === undefined ? undefined : widths[fieldBytes];
      if (width !== undefined) view.setUint8(at, (opcode & ~0x18) | width);
    }
  }

  #error(message: string): ProbeError {
    return new ProbeError(`${this.#entry.name}: ${message}`);
  }
}

/** The size bits of loads and stores, by bytes. */
const widths: { readonly [bytes: number]: number } = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 };

function isCall(view: DataView, at: number): boolean {
  return view.getUint8(at) === code.call;
}

function setSource(view: DataView, at: number, value: number): void {
  view.setUint8(at + 1, (view.getUint8(at + 1) & 0x0f) | (value << 4));
}
