/**
 * What a handler means, between the language (lang/) and the machine (codegen/): a typed tree with everything of
 * TypeScript resolved. Captured constants are constants, helper functions are inlined, fields are loads at offsets.
 *
 *     lang/  AST + types ─► Handler ─┬─► codegen/  eBPF instructions
 *                                    └─► ir/interpret.ts  the same meaning in TypeScript, to test the other two against
 *
 * Values are 64-bit words. A value of a narrower type is always kept extended by its own sign, so only `cast`, `load` and
 * `store` care about widths. Arithmetic is that of eBPF in 64 bits: it wraps, x / 0 is 0, x % 0 is x, shifts take the
 * count modulo 64.
 */

/** Where in the user's sources something was written: the program's errors and the verifier's point there. */
export interface SourceAt {
  /** Index into `Handler.files`. */
  readonly file: number;
  /** Of the file's text, in UTF-16 units. */
  readonly offset: number;
}

export interface IntType {
  readonly bits: 8 | 16 | 32 | 64;
  readonly signed: boolean;
}
export const u8: IntType = { bits: 8, signed: false };
export const u16: IntType = { bits: 16, signed: false };
export const u32: IntType = { bits: 32, signed: false };
export const u64: IntType = { bits: 64, signed: false };
export const i8: IntType = { bits: 8, signed: true };
export const i16: IntType = { bits: 16, signed: true };
export const i32: IntType = { bits: 32, signed: true };
export const i64: IntType = { bits: 64, signed: true };

/** A variable. Assigned more than once when the source does so; scopes are already resolved. */
export type LocalId = number;
/** Bytes of the program's own: they start undefined, and whoever reads them wrote them before. 8-aligned. */
export type SlotId = number;
/** Index into `Handler.maps`. */
export type MapIndex = number;

export interface Slot {
  readonly bytes: number;
  /** For messages: what the user called it. */
  readonly name: string;
}

/**
 * How memory behind a pointer may be read.
 *     direct   the verifier knows it: context, slot, map value, ring record, BTF-trusted pointer (safe when null: reads 0)
 *     kernel   bpf_probe_read_kernel
 *     user     bpf_probe_read_user
 * A read that fails gives 0.
 */
export type MemoryKind = "direct" | "kernel" | "user";

export type BinaryOperator = "+" | "-" | "*" | "/" | "%" | "&" | "|" | "^" | "<<" | ">>";
export type CompareOperator = "==" | "!=" | "<" | "<=" | ">" | ">=";

/** Every expression gives one 64-bit word; `at` is where it was written. */
export type Expr = (
  | { readonly op: "const"; readonly value: bigint }
  | { readonly op: "local"; readonly local: LocalId }
  /** `signed` matters to / % >> only. */
  | {
      readonly op: "binary";
      readonly operator: BinaryOperator;
      readonly signed: boolean;
      readonly left: Expr;
      readonly right: Expr;
    }
  | { readonly op: "negate" | "invert"; readonly value: Expr }
  /** 0 or 1. */
  | {
      readonly op: "compare";
      readonly operator: CompareOperator;
      readonly signed: boolean;
      readonly left: Expr;
      readonly right: Expr;
    }
  /** 1 when the value is 0, else 0. */
  | { readonly op: "not"; readonly value: Expr }
  /** 0 or 1; `right` is evaluated only when `left` doesn't decide. */
  | { readonly op: "and" | "or"; readonly left: Expr; readonly right: Expr }
  /** Only the chosen arm is evaluated. */
  | { readonly op: "select"; readonly condition: Expr; readonly then: Expr; readonly else: Expr }
  /** The low bits, extended again. */
  | { readonly op: "cast"; readonly type: IntType; readonly value: Expr }
  /** The program's argument: what it points at is the attach kind's matter. */
  | { readonly op: "context" }
  /** Address of a slot (+ offset). */
  | { readonly op: "slot"; readonly slot: SlotId; readonly offset: number }
  /** The map itself, as an argument of a helper. */
  | { readonly op: "map"; readonly map: MapIndex }
  /** Address of the single value of an array map (+ offset); never null. */
  | { readonly op: "mapValue"; readonly map: MapIndex; readonly offset: number }
  /** Start of the record being built: only inside `emit`. */
  | { readonly op: "record" }
  | {
      readonly op: "load";
      readonly type: IntType;
      readonly memory: MemoryKind;
      readonly from: Expr;
      readonly offset: number;
    }
  /** A BPF helper by its number (helpers.ts); up to five arguments. Memory that it reads or writes is passed as address and length. */
  | { readonly op: "call"; readonly helper: number; readonly args: readonly Expr[] }
  /** A kernel function by its BTF name (bpf_session_is_return, …). */
  | { readonly op: "kfunc"; readonly name: string; readonly args: readonly Expr[] }
) & { readonly at?: SourceAt };

export type Block = readonly Statement[];

export type Statement = (
  | { readonly op: "assign"; readonly local: LocalId; readonly value: Expr }
  /** Direct memory only. Alignment is natural. */
  | {
      readonly op: "store";
      readonly type: IntType;
      readonly to: Expr;
      readonly offset: number;
      readonly value: Expr;
    }
  /** Zeroes bytes of direct memory: a slot or the record. `offset` and `bytes` are multiples of 8 but at the end of a slot. */
  | { readonly op: "zero"; readonly to: Expr; readonly offset: number; readonly bytes: number }
  /** Adds to 32 or 64 bits of a map value, atomically. */
  | {
      readonly op: "atomicAdd";
      readonly bits: 32 | 64;
      readonly to: Expr;
      readonly offset: number;
      readonly value: Expr;
    }
  | { readonly op: "eval"; readonly value: Expr }
  | { readonly op: "if"; readonly condition: Expr; readonly then: Block; readonly else: Block }
  /**
   * for (local = from; local < to; local += step): `to` is evaluated once, and no more than `most` rounds are run
   * (a constant, so that the verifier sees the end). The local is readable in the body, not assignable. step ≥ 1.
   */
  | {
      readonly op: "for";
      readonly local: LocalId;
      readonly from: Expr;
      readonly to: Expr;
      readonly step: bigint;
      readonly signed: boolean;
      readonly most: number;
      readonly body: Block;
    }
  | { readonly op: "break" | "continue" }
  /** Ends the program with this result. */
  | { readonly op: "return"; readonly value: Expr }
  /**
   * Reserves `bytes` in the ring, runs the body with `record` as its start, submits. The whole body is free of
   * return, break and continue that would leave it. When the ring is full, the body does not run and the
   * site's counter in the map `losses` goes up by one. Record bytes start undefined: the body writes them all.
   */
  | {
      readonly op: "emit";
      readonly ring: MapIndex;
      /** Array map: one value with a u64 for each site, or one of a u64 by site. */
      readonly losses: MapIndex;
      readonly site: number;
      readonly bytes: number;
      readonly body: Block;
    }
) & { readonly at?: SourceAt };

/** One program's worth. */
export interface Handler {
  /** For the kernel (15 characters of it) and for messages. */
  readonly name: string;
  readonly files: readonly SourceFile[];
  readonly maps: readonly MapSpec[];
  readonly slots: readonly Slot[];
  /** Locals are 0 … localCount − 1; each is assigned before it is read. */
  readonly localCount: number;
  readonly body: Block;
  /** What the program returns when it runs off its end. */
  readonly result: bigint;
}

export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

export type MapKind =
  | "hash"
  | "percpu-hash"
  | "lru-hash"
  | "array"
  | "percpu-array"
  | "stack-trace"
  | "ring";

/** A map to be made. Handlers of one session share maps by the identity of this object. */
export interface MapSpec {
  readonly kind: MapKind;
  readonly name: string;
  readonly keyBytes: number;
  readonly valueBytes: number;
  /** Entries; of a ring: bytes, a power of two and of the page size. */
  readonly max: number;
  /** Of an array of one: its value from the start. */
  readonly contents?: Uint8Array;
  /** Programs only read it, and the verifier knows what is there. With `contents`. */
  readonly readOnly?: boolean;
}
