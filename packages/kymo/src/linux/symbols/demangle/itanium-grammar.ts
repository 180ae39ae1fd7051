/** What all parts of the Itanium parser share: the place in the text, and what earlier parts of it have named. */
import { type Node, NotDemangled } from "./cpp-nodes.ts";

const depthLimit = 200;

/** Reads the text of a symbol. Everything that is not there as expected is `NotDemangled`. */
export class Cursor {
  readonly text: string;
  at: number;
  depth = 0;

  constructor(text: string, at: number) {
    this.text = text;
    this.at = at;
  }

  peek(ahead = 0): string {
    return this.text[this.at + ahead] ?? "";
  }
  take(word: string): boolean {
    if (!this.text.startsWith(word, this.at)) return false;
    this.at += word.length;
    return true;
  }
  expect(word: string): void {
    if (!this.take(word)) throw new NotDemangled();
  }
  isDigit(ahead = 0): boolean {
    const c = this.peek(ahead);
    return c >= "0" && c <= "9";
  }
  number(): number {
    if (!this.isDigit()) throw new NotDemangled();
    let value = 0;
    for (; this.isDigit(); this.at++) value = Math.min(value * 10 + Number(this.peek()), 2 ** 31);
    return value;
  }
  /** `_` is 0, `0_` is 1, …: template parameters, discriminators. */
  indexUnderscore(): number {
    const index = this.isDigit() ? this.number() + 1 : 0;
    this.expect("_");
    return index;
  }
  /** For whatever may nest: its depth is limited. */
  within<T>(parse: () => T): T {
    if (++this.depth > depthLimit) throw new NotDemangled();
    const parsed = parse();
    this.depth--;
    return parsed;
  }
}

/** What substitutions (`S0_`) and template parameters (`T_`) stand for at this place. */
export class Scope {
  readonly substitutions: Node[] = [];
  /** Which substitutions are bare template parameters: substitution → index of the parameter. */
  readonly paramSubstitutions: Map<number, number> = new Map();
  lastParam: { readonly node: Node; readonly index: number } | undefined;
  templateArgs: readonly Node[] = [];
  hasTemplateArgs = false;
  /** Argument lists that are open. */
  openArgs = 0;
  /** Lambdas that are open: their template parameters are called auto. */
  lambdas = 0;
  forwards: (Node & { kind: "forward" })[] = [];
  /** Template parameters may stand before their arguments: in a conversion operator's type. */
  allowForward = false;

  remember(node: Node): void {
    if (this.lastParam?.node === node)
      this.paramSubstitutions.set(this.substitutions.length, this.lastParam.index);
    this.lastParam = undefined;
    this.substitutions.push(node);
  }

  argument(index: number): Node | undefined {
    const arg = this.hasTemplateArgs ? this.templateArgs[index] : undefined;
    return arg?.kind === "pack" ? { kind: "packParam", items: arg.items } : arg;
  }
}

export interface NameState {
  qualifiers: string;
  endsWithArgs: boolean;
  /** Constructors, destructors and conversions have no return type even as templates. */
  isPlain: boolean;
}
export const newState = (): NameState => ({
  qualifiers: "",
  endsWithArgs: false,
  isPlain: false,
});

/** What the parts call of each other. */
export interface Grammar {
  encoding(): Node;
  name(state: NameState): Node;
  unqualified(scope: Node | undefined, state: NameState): Node;
  sourceName(): Node & { readonly kind: "name" };
  args(isName: boolean): Node[];
  templateParam(): Node;
  substitution(): Node;
  type(): Node;
  qualifiers(): string;
  decltype(): Node;
  expression(): Node;
  primary(): Node;
}
