/**
 * C++ names of the Itanium ABI: `_ZN4node9inspector5Agent5StartEv` is `node::inspector::Agent::Start()`.
 * A recursive-descent parser over the grammar of the specification; text as `c++filt` writes it.
 *
 * @see https://itanium-cxx-abi.github.io/cxx-abi/abi.html#mangling
 */
import { type Node, NotDemangled, write } from "./cpp-nodes.ts";
import { builtinTypes, operators, standardNames } from "./itanium-tables.ts";

export interface CppOptions {
  /** Parameters and return type of the function; else only its name, as profilers show it. */
  readonly params: boolean;
}

const lengthLimit = 8192;
const depthLimit = 200;

/** @returns undefined when `symbol` is not a C++ name, or one past our limits */
export function demangleCpp(symbol: string, options: CppOptions): string | undefined {
  const prefix = /^_{1,3}Z/.exec(symbol);
  if (prefix === null || symbol.length > lengthLimit) return undefined;
  try {
    return new Parser(symbol, prefix[0].length).mangledName(options);
  } catch (error) {
    if (error instanceof NotDemangled) return undefined;
    throw error;
  }
}

interface NameState {
  qualifiers: string;
  endsWithArgs: boolean;
  /** Constructors, destructors and conversions have no return type even as templates. */
  isPlain: boolean;
}
const newState = (): NameState => ({ qualifiers: "", endsWithArgs: false, isPlain: false });

class Parser {
  readonly #text: string;
  #at: number;
  #depth = 0;
  readonly #substitutions: Node[] = [];
  /** Which substitutions are bare template parameters: substitution → index of the parameter. */
  readonly #paramSubstitutions: Map<number, number> = new Map();
  #lastParam: { readonly node: Node; readonly index: number } | undefined;
  #templateArgs: readonly Node[] = [];
  #hasTemplateArgs = false;
  #lambdas = 0;
  #forwards: (Node & { kind: "forward" })[] = [];
  #allowForward = false;

  constructor(text: string, at: number) {
    this.#text = text;
    this.#at = at;
  }

  mangledName({ params }: CppOptions): string {
    const node = this.#encoding();
    const clones = /^(?:\.(?:[A-Za-z_]+|\d+)(?:\.\d+)*)*$/.exec(this.#text.slice(this.#at));
    if (clones === null) throw new NotDemangled();
    const suffix = (clones[0].match(/\.(?:[A-Za-z_]+|\d+)(?:\.\d+)*/g) ?? [])
      .map((clone) => ` [clone ${clone}]`)
      .join("");
    if (params || node.kind !== "encoding") return write(node) + suffix;
    return write(node.name) + suffix;
  }

  // -- reading characters

  #peek(ahead = 0): string {
    return this.#text[this.#at + ahead] ?? "";
  }
  #take(word: string): boolean {
    if (!this.#text.startsWith(word, this.#at)) return false;
    this.#at += word.length;
    return true;
  }
  #expect(word: string): void {
    if (!this.#take(word)) throw new NotDemangled();
  }
  #isDigit(ahead = 0): boolean {
    const c = this.#peek(ahead);
    return c >= "0" && c <= "9";
  }
  #number(): number {
    if (!this.#isDigit()) throw new NotDemangled();
    let value = 0;
    for (; this.#isDigit(); this.#at++)
      value = Math.min(value * 10 + Number(this.#peek()), 2 ** 31);
    return value;
  }
  /** `_` is 0, `0_` is 1, …: template parameters, discriminators. */
  #indexUnderscore(): number {
    const index = this.#isDigit() ? this.#number() + 1 : 0;
    this.#expect("_");
    return index;
  }
  #within<T>(parse: () => T): T {
    if (++this.#depth > depthLimit) throw new NotDemangled();
    const parsed = parse();
    this.#depth--;
    return parsed;
  }

  // -- names

  #encoding(): Node {
    return this.#within(() => {
      if (
        this.#peek() === "T" ||
        (this.#peek() === "G" && /^G[VRAIT]/.test(this.#text.slice(this.#at, this.#at + 2)))
      )
        return this.#specialName();
      const outerArgs = this.#templateArgs;
      const outerHas = this.#hasTemplateArgs;
      this.#hasTemplateArgs = false;
      const state = newState();
      const name = this.#name(state);
      let node: Node = name;
      if (!this.#atEncodingEnd()) {
        const result = state.endsWithArgs && !state.isPlain ? this.#type() : undefined;
        const params = this.#parameters();
        node = { kind: "encoding", name, result, params, suffix: state.qualifiers };
      } else if (state.qualifiers !== "") {
        node = {
          kind: "encoding",
          name,
          result: undefined,
          params: undefined,
          suffix: state.qualifiers,
        };
      }
      if (this.#depth > 1) {
        this.#templateArgs = outerArgs;
        this.#hasTemplateArgs = outerHas;
      }
      return node;
    });
  }

  #atEncodingEnd(): boolean {
    const c = this.#peek();
    return c === "" || c === "E" || c === ".";
  }

  /** Types up to the end of the encoding; `v` alone is none. */
  #parameters(): Node[] {
    if (this.#take("v")) return [];
    const params: Node[] = [];
    do params.push(this.#type());
    while (!this.#atEncodingEnd());
    return params;
  }

  #specialName(): Node {
    const of = (text: string, node: Node): Node => ({ kind: "sequence", parts: [text, node] });
    const code = this.#text.slice(this.#at, this.#at + 2);
    this.#at += 2;
    switch (code) {
      case "TV":
        return of("vtable for ", this.#type());
      case "TT":
        return of("VTT for ", this.#type());
      case "TI":
        return of("typeinfo for ", this.#type());
      case "TS":
        return of("typeinfo name for ", this.#type());
      case "TC": {
        const derived = this.#type();
        this.#number();
        this.#expect("_");
        const base = this.#type();
        return { kind: "sequence", parts: ["construction vtable for ", base, "-in-", derived] };
      }
      case "Th":
        this.#at--;
        this.#callOffset();
        return of("non-virtual thunk to ", this.#encoding());
      case "Tv":
        this.#at--;
        this.#callOffset();
        return of("virtual thunk to ", this.#encoding());
      case "Tc":
        this.#callOffset();
        this.#callOffset();
        return of("covariant return thunk to ", this.#encoding());
      case "TH":
        return of("TLS init function for ", this.#name(newState()));
      case "TW":
        return of("TLS wrapper function for ", this.#name(newState()));
      case "TA":
        return of("template parameter object for ", this.#templateArg());
      case "GV":
        return of("guard variable for ", this.#name(newState()));
      case "GA":
        return of("hidden alias for ", this.#encoding());
      case "GR": {
        const name = this.#name(newState());
        const index = this.#peek() === "_" || this.#sequenceAhead() ? this.#sequenceId() : 0;
        return { kind: "sequence", parts: [`reference temporary #${index} for `, name] };
      }
      case "GT":
        if (this.#take("n")) return of("non-transaction clone for ", this.#encoding());
        this.#expect("t");
        return of("transaction clone for ", this.#encoding());
      default:
        throw new NotDemangled();
    }
  }

  #sequenceAhead(): boolean {
    return /^[0-9A-Z]*_/.test(this.#text.slice(this.#at, this.#at + 12));
  }

  #callOffset(): void {
    const isVirtual = this.#take("v");
    if (!isVirtual) this.#expect("h");
    this.#take("n");
    this.#number();
    this.#expect("_");
    if (!isVirtual) return;
    this.#take("n");
    this.#number();
    this.#expect("_");
  }

  #name(state: NameState): Node {
    return this.#within(() => {
      const c = this.#peek();
      if (c === "N") return this.#nestedName(state);
      if (c === "Z") return this.#localName(state);
      if (c === "S" && this.#peek(1) !== "t") {
        const name = this.#substitution();
        if (this.#peek() !== "I") return name;
        state.endsWithArgs = true;
        return { kind: "template", name, args: this.#args(true) };
      }
      let name: Node = this.#take("St")
        ? {
            kind: "nested",
            scope: { kind: "name", text: "std" },
            name: this.#unqualified(undefined, state),
          }
        : this.#unqualified(undefined, state);
      if (this.#peek() === "I") {
        this.#remember(name);
        state.endsWithArgs = true;
        name = { kind: "template", name, args: this.#args(true) };
      }
      return name;
    });
  }

  #nestedName(state: NameState): Node {
    this.#expect("N");
    if (this.#take("H")) state.qualifiers = ""; // explicit object member function
    const qualifiers = this.#qualifiers();
    const reference = this.#take("R") ? " &" : this.#take("O") ? " &&" : "";
    const node = this.#prefixes(state);
    state.qualifiers = qualifiers + reference;
    return node;
  }

  /** `A::B<int>::f` up to the E: every part but the last whole is a substitution. */
  #prefixes(state: NameState): Node {
    let soFar: Node | undefined;
    let isSubstitution = false;
    while (!this.#take("E")) {
      const c = this.#peek();
      state.endsWithArgs = false;
      if (c === "S" && soFar === undefined) {
        if (this.#take("St")) {
          soFar = { kind: "name", text: "std" };
        } else soFar = this.#substitution();
        isSubstitution = true;
        continue;
      }
      if (c === "M" && soFar !== undefined) {
        this.#at++;
        continue;
      }
      if (c === "I" && soFar !== undefined) {
        soFar = { kind: "template", name: soFar, args: this.#args(true) };
        state.endsWithArgs = true;
      } else if (c === "T" && soFar === undefined) soFar = this.#templateParam();
      else if (c === "D" && /[tT]/.test(this.#peek(1)) && soFar === undefined)
        soFar = this.#decltype();
      else {
        state.isPlain = false;
        const name = this.#unqualified(soFar, state);
        soFar = soFar === undefined ? name : { kind: "nested", scope: soFar, name };
      }
      isSubstitution = false;
      this.#remember(soFar);
    }
    if (soFar === undefined) throw new NotDemangled();
    if (!isSubstitution) {
      this.#substitutions.pop();
      this.#paramSubstitutions.delete(this.#substitutions.length);
    }
    return soFar;
  }

  #localName(state: NameState): Node {
    this.#expect("Z");
    const whole = this.#encoding();
    // As a scope, a function shows its parameters but not its return type.
    const scope: Node = whole.kind === "encoding" ? { ...whole, result: undefined } : whole;
    this.#expect("E");
    if (this.#take("s")) {
      this.#discriminator();
      return { kind: "local", scope, name: { kind: "name", text: "string literal" } };
    }
    let place: Node = scope;
    if (this.#take("d")) {
      const argument = this.#indexUnderscore();
      place = {
        kind: "local",
        scope,
        name: { kind: "name", text: `{default arg#${argument + 1}}` },
      };
    }
    const name = this.#name(state);
    this.#discriminator();
    return { kind: "local", scope: place, name };
  }

  /** Tells apart entities of the same name in one function; not shown. */
  #discriminator(): void {
    if (this.#peek() !== "_") return;
    const match = /^_(?:_\d+_|\d)/.exec(this.#text.slice(this.#at, this.#at + 16));
    if (match !== null) this.#at += match[0].length;
  }

  #unqualified(scope: Node | undefined, state: NameState): Node {
    if (this.#peek() === "F" && this.#at > 0) this.#at++; // member-like friend
    this.#take("L"); // internal linkage
    const c = this.#peek();
    let node: Node;
    if (this.#isDigit()) node = this.#sourceName();
    else if (c === "U") node = this.#unnamed();
    else if (c === "C" || (c === "D" && /[0-5]/.test(this.#peek(1)))) {
      if (scope === undefined) throw new NotDemangled();
      this.#at++;
      const isInherited = c === "C" && this.#take("I");
      if (!/[0-5]/.test(this.#peek())) throw new NotDemangled();
      this.#at++;
      if (isInherited) this.#type();
      state.isPlain = true;
      node = { kind: "structor", of: scope, isDestructor: c === "D" };
    } else if (this.#take("DC")) {
      const names: Node[] = [];
      while (!this.#take("E")) names.push(this.#sourceName());
      const parts = names.flatMap((name, i) => (i === 0 ? [name] : [", ", name]));
      node = { kind: "sequence", parts: ["[", ...parts, "]"] };
    } else node = this.#operatorName(state);
    while (this.#take("B")) {
      const tag = this.#sourceName();
      node = { kind: "tagged", name: node, tag: tag.text };
    }
    return node;
  }

  #sourceName(): Node & { kind: "name" } {
    const length = this.#number();
    if (length === 0 || this.#at + length > this.#text.length) throw new NotDemangled();
    const text = this.#text.slice(this.#at, this.#at + length);
    this.#at += length;
    return { kind: "name", text: /^_GLOBAL_[_.$]N/.test(text) ? "(anonymous namespace)" : text };
  }

  #unnamed(): Node {
    if (this.#take("Ut"))
      return { kind: "name", text: `{unnamed type#${this.#indexUnderscore() + 1}}` };
    if (this.#take("Ub"))
      return { kind: "name", text: `{block literal#${this.#indexUnderscore() + 1}}` };
    this.#expect("Ul");
    this.#lambdas++;
    while (/^T[yntpk]/.test(this.#text.slice(this.#at, this.#at + 2)))
      this.#templateParamDeclaration();
    const params = this.#parameters();
    this.#lambdas--;
    this.#expect("E");
    return { kind: "lambda", params, number: this.#indexUnderscore() + 1 };
  }

  /** `[]<typename T, int N>`: read over; the parameters show as auto. */
  #templateParamDeclaration(): void {
    this.#within(() => {
      if (this.#take("Ty")) return;
      if (this.#take("Tk")) {
        this.#name(newState());
        return;
      }
      if (this.#take("Tn")) {
        this.#type();
        return;
      }
      if (this.#take("Tp")) {
        this.#templateParamDeclaration();
        return;
      }
      this.#expect("Tt");
      while (!this.#take("E")) this.#templateParamDeclaration();
    });
  }

  #operatorName(state: NameState): Node {
    const code = this.#text.slice(this.#at, this.#at + 2);
    if (code === "cv") {
      this.#at += 2;
      state.isPlain = true;
      const allowed = this.#allowForward;
      this.#allowForward = true;
      const type = this.#type();
      this.#allowForward = allowed;
      return { kind: "conversion", type };
    }
    if (code === "li") {
      this.#at += 2;
      return { kind: "name", text: `operator"" ${this.#sourceName().text}` };
    }
    if (/^v\d$/.test(code)) {
      this.#at += 2;
      return { kind: "name", text: `operator ${this.#sourceName().text}` };
    }
    const text = operators.get(code);
    if (text === undefined) throw new NotDemangled();
    this.#at += 2;
    return {
      kind: "name",
      text: /^[a-z]/.test(text) ? `operator ${text.trim()}` : `operator${text}`,
    };
  }

  // -- template arguments and substitutions

  /** @param isName  these are the arguments that T_ of the function's types means */
  #args(isName: boolean): Node[] {
    return this.#within(() => {
      this.#expect("I");
      const outerArgs = this.#templateArgs;
      const outerHas = this.#hasTemplateArgs;
      const args: Node[] = [];
      while (!this.#take("E")) {
        args.push(this.#templateArg());
        if (this.#take("Q")) throw new NotDemangled();
      }
      this.#templateArgs = outerArgs;
      this.#hasTemplateArgs = outerHas;
      if (isName && this.#lambdas === 0) {
        this.#templateArgs = args;
        this.#hasTemplateArgs = true;
        for (const forward of this.#forwards) forward.target ??= args[forward.index];
        this.#forwards = [];
      }
      return args;
    });
  }

  #templateArg(): Node {
    return this.#within(() => {
      const c = this.#peek();
      if (c === "X") {
        this.#at++;
        const expression = this.#expression();
        this.#expect("E");
        return expression;
      }
      if (c === "L") return this.#primary();
      if (c === "J" || (c === "I" && this.#at > 0)) {
        this.#at++;
        const items: Node[] = [];
        while (!this.#take("E")) items.push(this.#templateArg());
        return { kind: "pack", items };
      }
      return this.#type();
    });
  }

  #templateParam(): Node {
    this.#expect("T");
    if (this.#take("L")) {
      this.#indexUnderscore();
      return { kind: "name", text: `auto:${this.#indexUnderscore() + 1}` };
    }
    const index = this.#indexUnderscore();
    if (this.#lambdas > 0) {
      const node: Node = { kind: "name", text: `auto:${index + 1}` };
      this.#lastParam = { node, index };
      return node;
    }
    if (this.#allowForward) {
      const forward: Node & { kind: "forward" } = { kind: "forward", index, target: undefined };
      this.#forwards.push(forward);
      return forward;
    }
    const node = this.#argument(index);
    if (node === undefined) throw new NotDemangled();
    this.#lastParam = { node, index };
    return node;
  }

  #sequenceId(): number {
    let value = 0;
    if (this.#take("_")) return 0;
    for (; this.#peek() !== "_"; this.#at++) {
      const digit = Number.parseInt(this.#peek(), 36);
      if (Number.isNaN(digit) || value > 2 ** 31) throw new NotDemangled();
      value = value * 36 + digit;
    }
    this.#at++;
    return value + 1;
  }

  #remember(node: Node): void {
    if (this.#lastParam?.node === node)
      this.#paramSubstitutions.set(this.#substitutions.length, this.#lastParam.index);
    this.#lastParam = undefined;
    this.#substitutions.push(node);
  }

  #argument(index: number): Node | undefined {
    const arg = this.#hasTemplateArgs ? this.#templateArgs[index] : undefined;
    return arg?.kind === "pack" ? { kind: "packParam", items: arg.items } : arg;
  }

  #substitution(): Node {
    this.#expect("S");
    const c = this.#peek();
    if (c === "_" || this.#isDigit() || (c >= "A" && c <= "Z")) {
      const id = this.#sequenceId();
      const node = this.#substitutions[id];
      if (node === undefined) throw new NotDemangled();
      // A template parameter means the one of the function that is being read now.
      const param = this.#paramSubstitutions.get(id);
      return (param === undefined || this.#lambdas > 0 ? undefined : this.#argument(param)) ?? node;
    }
    const standard = standardNames.get(c);
    if (standard === undefined) throw new NotDemangled();
    this.#at++;
    // A constructor needs the name of the template behind the short form.
    const next = this.#peek();
    const isStructor = next === "C" || (next === "D" && /[0-5]/.test(this.#peek(1)));
    let node: Node = isStructor ? standard.full : standard.short;
    while (this.#take("B")) node = { kind: "tagged", name: node, tag: this.#sourceName().text };
    return node;
  }

  // -- types

  #qualifiers(): string {
    let restrict = "";
    let volatile = "";
    let constant = "";
    if (this.#take("r")) restrict = " restrict";
    if (this.#take("V")) volatile = " volatile";
    if (this.#take("K")) constant = " const";
    return constant + volatile + restrict;
  }

  #type(): Node {
    return this.#within(() => {
      const node = this.#typeOnce();
      if (node.isNew) this.#remember(node.type);
      return node.type;
    });
  }

  #typeOnce(): { type: Node; isNew: boolean } {
    const c = this.#peek();
    const builtin =
      builtinTypes.get(c) ?? (c === "D" ? builtinTypes.get(c + this.#peek(1)) : undefined);
    if (builtin !== undefined) {
      this.#at += c === "D" ? 2 : 1;
      return { type: builtin, isNew: false };
    }
    const isNew = (type: Node) => ({ type, isNew: true });
    switch (c) {
      case "r":
      case "V":
      case "K": {
        const suffix = this.#qualifiers();
        if (this.#isFunctionAhead()) return isNew(this.#functionType(suffix));
        return isNew(qualify(this.#type(), suffix));
      }
      case "U": {
        this.#at++;
        const name = this.#sourceName();
        if (this.#peek() === "I") this.#args(false);
        return isNew({ kind: "qualified", type: this.#type(), suffix: ` ${name.text}` });
      }
      case "P":
        this.#at++;
        return isNew({ kind: "pointer", to: this.#type(), mark: "*" });
      case "R":
        this.#at++;
        return isNew({ kind: "pointer", to: this.#type(), mark: "&" });
      case "O":
        this.#at++;
        return isNew({ kind: "pointer", to: this.#type(), mark: "&&" });
      case "C":
        this.#at++;
        return isNew({ kind: "qualified", type: this.#type(), suffix: " _Complex" });
      case "G":
        this.#at++;
        return isNew({ kind: "qualified", type: this.#type(), suffix: " _Imaginary" });
      case "F":
        return isNew(this.#functionType(""));
      case "A":
        return isNew(this.#arrayType());
      case "M": {
        this.#at++;
        const of = this.#type();
        return isNew({ kind: "member", of, to: this.#type() });
      }
      case "T":
        return this.#templateParamType();
      case "D":
        return this.#typeD();
      case "S":
        if (this.#peek(1) !== "t") {
          const node = this.#substitution();
          if (this.#peek() !== "I") return { type: node, isNew: false };
          return isNew({ kind: "template", name: node, args: this.#args(false) });
        }
        return isNew(this.#classType());
      case "u": {
        this.#at++;
        const name = this.#sourceName();
        if (this.#peek() !== "I") return isNew(name);
        return isNew({ kind: "template", name, args: this.#args(false) });
      }
      default:
        return isNew(this.#classType());
    }
  }

  /** A class: its template arguments are not those that T_ means. */
  #classType(): Node {
    if (/^T[sue]/.test(this.#text.slice(this.#at, this.#at + 2))) this.#at += 2;
    const args = this.#templateArgs;
    const has = this.#hasTemplateArgs;
    const allowed = this.#allowForward;
    const node = this.#name(newState());
    this.#templateArgs = args;
    this.#hasTemplateArgs = has;
    this.#allowForward = allowed;
    return node;
  }

  #templateParamType(): { type: Node; isNew: boolean } {
    if (/[sue]/.test(this.#peek(1))) return { type: this.#classType(), isNew: true };
    const param = this.#templateParam();
    if (
      this.#peek() !== "I" ||
      (this.#allowForward && this.#lambdas === 0 && !this.#argsThenMore())
    )
      return { type: param, isNew: true };
    this.#remember(param);
    return { type: { kind: "template", name: param, args: this.#args(false) }, isNew: true };
  }

  /** In `operator T<…>()` arguments may be the type's or the operator's own: they are the type's if more follow. */
  #argsThenMore(): boolean {
    const state = [this.#at, this.#substitutions.length, this.#forwards.length] as const;
    try {
      this.#args(false);
      return this.#peek() === "I";
    } finally {
      this.#at = state[0];
      this.#substitutions.length = state[1];
      this.#forwards.length = state[2];
    }
  }

  #typeD(): { type: Node; isNew: boolean } {
    const next = this.#peek(1);
    if (next === "t" || next === "T") return { type: this.#decltype(), isNew: true };
    if (next === "p") {
      this.#at += 2;
      return { type: { kind: "expansion", pattern: this.#type() }, isNew: true };
    }
    if (next === "v") {
      this.#at += 2;
      const isNumber = this.#isDigit();
      if (!isNumber) this.#expect("_");
      const size: Node = isNumber
        ? { kind: "name", text: String(this.#number()) }
        : this.#expression();
      this.#expect("_");
      const type = this.#type();
      return { type: { kind: "sequence", parts: [type, " __vector(", size, ")"] }, isNew: true };
    }
    if (next === "F") {
      const match = /^DF(\d+)([_xb])/.exec(this.#text.slice(this.#at, this.#at + 12));
      if (match === null) throw new NotDemangled();
      this.#at += match[0].length;
      const name =
        match[2] === "b"
          ? `std::bfloat${match[1]}_t`
          : `_Float${match[1]}${match[2] === "x" ? "x" : ""}`;
      return { type: { kind: "name", text: name }, isNew: false };
    }
    if (next === "B" || next === "U") {
      this.#at += 2;
      const size = this.#isDigit() ? String(this.#number()) : write(this.#expression());
      this.#expect("_");
      return {
        type: { kind: "name", text: `${next === "U" ? "unsigned " : ""}_BitInt(${size})` },
        isNew: false,
      };
    }
    if (this.#isFunctionAhead()) return { type: this.#functionType(""), isNew: true };
    throw new NotDemangled();
  }

  #decltype(): Node {
    this.#at += 2;
    const expression = this.#expression();
    this.#expect("E");
    return { kind: "sequence", parts: ["decltype (", expression, ")"] };
  }

  #isFunctionAhead(): boolean {
    return (
      /^(?:Do|DO|Dw|Dx)?F/.test(this.#text.slice(this.#at, this.#at + 3)) ||
      this.#peek() + this.#peek(1) === "DO"
    );
  }

  #functionType(qualifiers: string): Node {
    let exception = "";
    if (this.#take("Do")) exception = " noexcept";
    else if (this.#take("DO")) {
      exception = ` noexcept(${write(this.#expression())})`;
      this.#expect("E");
    } else if (this.#take("Dw")) {
      const types: string[] = [];
      while (!this.#take("E")) types.push(write(this.#type()));
      exception = ` throw(${types.join(", ")})`;
    }
    this.#take("Dx");
    this.#expect("F");
    this.#take("Y"); // extern "C"
    const result = this.#type();
    const params: Node[] = [];
    let reference = "";
    while (!this.#take("E")) {
      if (this.#take("RE")) reference = " &";
      else if (this.#take("OE")) reference = " &&";
      else {
        if (this.#peek() === "v" && params.length === 0) this.#at++;
        else params.push(this.#type());
        continue;
      }
      break;
    }
    return { kind: "function", result, params, suffix: qualifiers + reference + exception };
  }

  #arrayType(): Node {
    this.#expect("A");
    let size: Node | undefined;
    if (this.#isDigit()) size = { kind: "name", text: String(this.#number()) };
    else if (this.#peek() !== "_") size = this.#expression();
    this.#expect("_");
    return { kind: "array", of: this.#type(), size };
  }

  // -- expressions

  #primary(): Node {
    this.#expect("L");
    if (this.#take("_Z") || this.#take("Z")) {
      const node = this.#encoding();
      this.#expect("E");
      return node;
    }
    const type = this.#type();
    const end = this.#text.indexOf("E", this.#at);
    if (end < 0) throw new NotDemangled();
    const raw = this.#text.slice(this.#at, end);
    this.#at = end + 1;
    if (type.kind === "builtin" && type.text === "decltype(nullptr)")
      return { kind: "literal", type, value: raw === "" ? "0" : raw };
    if (!/^n?[0-9a-f]*$/.test(raw)) throw new NotDemangled();
    if (type.kind === "builtin" && /^(?:float|double|long double|__float128)$/.test(type.text))
      return { kind: "literal", type, value: `[${raw}]` };
    return { kind: "literal", type, value: raw.replace(/^n/, "-") };
  }

  #expression(): Node {
    return this.#within(() => this.#expressionOnce());
  }

  #expressions(): Node[] {
    const list: Node[] = [];
    while (!this.#take("E")) list.push(this.#expression());
    return list;
  }

  #expressionOnce(): Node {
    const c = this.#peek();
    if (c === "L") return this.#primary();
    if (c === "T") return this.#templateParam();
    if (this.#isDigit()) return this.#unqualifiedWithArgs();
    const code = this.#text.slice(this.#at, this.#at + 2);
    this.#take("gs");
    const operand = (node: Node): Node => ({ kind: "operand", node });
    const sequence = (...parts: (string | Node)[]): Node => ({ kind: "sequence", parts });
    switch (code) {
      case "fp":
      case "fL":
        return this.#functionParam();
      case "sr":
        return this.#scopeResolution();
      case "st":
      case "at":
      case "ti":
        this.#at += 2;
        return sequence(
          `${{ st: "sizeof", at: "alignof", ti: "typeid" }[code]} (`,
          this.#type(),
          ")",
        );
      case "sz":
      case "az":
      case "te":
      case "nx":
        this.#at += 2;
        return sequence(
          { sz: "sizeof ", az: "alignof ", te: "typeid ", nx: "noexcept" }[code],
          operand(this.#expression()),
        );
      case "sZ":
        this.#at += 2;
        return {
          kind: "packSize",
          of: this.#peek() === "T" ? this.#templateParam() : this.#functionParam(),
        };
      case "sp":
        this.#at += 2;
        return { kind: "expansion", pattern: this.#expression() };
      case "cl": {
        this.#at += 2;
        const callee = this.#expression();
        return sequence(operand(callee), "(", ...joined(this.#expressions()), ")");
      }
      case "cv": {
        this.#at += 2;
        const type = this.#type();
        if (!this.#take("_")) return sequence("(", type, ")", operand(this.#expression()));
        return sequence("(", type, ")(", ...joined(this.#expressions()), ")");
      }
      case "sc":
      case "dc":
      case "rc":
      case "cc": {
        this.#at += 2;
        const word = { sc: "static", dc: "dynamic", rc: "reinterpret", cc: "const" }[code];
        const type = this.#type();
        return sequence(`${word}_cast<`, type, ">(", this.#expression(), ")");
      }
      case "tl":
        this.#at += 2;
        return sequence(this.#type(), "{", ...joined(this.#expressions()), "}");
      case "il":
        this.#at += 2;
        return sequence("{", ...joined(this.#expressions()), "}");
      case "dt":
      case "pt": {
        this.#at += 2;
        const object = this.#expression();
        return sequence(operand(object), code === "dt" ? "." : "->", this.#expression());
      }
      case "ix": {
        this.#at += 2;
        const object = this.#expression();
        return sequence(operand(object), "[", this.#expression(), "]");
      }
      case "qu": {
        this.#at += 2;
        const condition = this.#expression();
        const first = this.#expression();
        return sequence(
          operand(condition),
          "?",
          operand(first),
          " : ",
          operand(this.#expression()),
        );
      }
      case "on":
        this.#at += 2;
        return this.#unqualifiedWithArgs();
      case "tr":
        this.#at += 2;
        return sequence("throw");
      case "tw":
        this.#at += 2;
        return sequence("throw ", this.#expression());
      case "nw":
      case "na":
        return this.#newExpression(code);
    }
    return this.#operatorExpression(code);
  }

  #operatorExpression(code: string): Node {
    const text = operators.get(code);
    if (text === undefined) throw new NotDemangled();
    this.#at += 2;
    const operand = (node: Node): Node => ({ kind: "operand", node });
    if (unary.has(code)) {
      if ((code === "pp" || code === "mm") && !this.#take("_"))
        return { kind: "sequence", parts: [operand(this.#expression()), text] };
      return { kind: "sequence", parts: [text, operand(addressed(code, this.#expression()))] };
    }
    const left = this.#expression();
    const right = this.#expression();
    const parts = [operand(left), text, operand(right)];
    return { kind: "sequence", parts: code === "gt" ? ["(", ...parts, ")"] : parts };
  }

  #newExpression(code: "nw" | "na"): Node {
    this.#at += 2;
    const placement: Node[] = [];
    while (!this.#take("_")) placement.push(this.#expression());
    const type = this.#type();
    const init = this.#take("pi") ? this.#expressions() : undefined;
    if (init === undefined) this.#expect("E");
    const at = placement.length === 0 ? [] : ["(", ...joined(placement), ") "];
    const word = code === "nw" ? "new " : "new[] ";
    return {
      kind: "sequence",
      parts: [word, ...at, type, ...(init === undefined ? [] : ["(", ...joined(init), ")"])],
    };
  }

  #functionParam(): Node {
    if (this.#take("fpT")) return { kind: "name", text: "this" };
    if (this.#take("fL")) {
      this.#number();
      this.#expect("p");
    } else this.#expect("fp");
    this.#qualifiers();
    return { kind: "name", text: `{parm#${this.#indexUnderscore() + 1}}` };
  }

  #scopeResolution(): Node {
    this.#expect("sr");
    let scope: Node;
    if (this.#take("N")) {
      scope = this.#type();
      if (this.#peek() === "I") scope = { kind: "template", name: scope, args: this.#args(false) };
      while (!this.#take("E")) scope = { kind: "nested", scope, name: this.#unqualifiedWithArgs() };
    } else if (this.#isDigit()) {
      scope = this.#unqualifiedWithArgs();
      while (!this.#take("E")) scope = { kind: "nested", scope, name: this.#unqualifiedWithArgs() };
    } else scope = this.#type();
    return { kind: "nested", scope, name: this.#unqualifiedWithArgs() };
  }

  #unqualifiedWithArgs(): Node {
    this.#take("on");
    const name = this.#unqualified(undefined, newState());
    return this.#peek() === "I" ? { kind: "template", name, args: this.#args(false) } : name;
  }
}

const unary: ReadonlySet<string> = new Set([
  "ps",
  "ng",
  "ad",
  "de",
  "co",
  "nt",
  "pp",
  "mm",
  "dl",
  "da",
  "aw",
]);

function joined(nodes: readonly Node[]): (string | Node)[] {
  return nodes.flatMap((node, i) => (i === 0 ? [node] : [", ", node]));
}

/** The address of a member function is written without its parameters: `&A::f`. */
function addressed(code: string, node: Node): Node {
  const isPlain = node.kind === "encoding" && node.name.kind === "nested" && node.suffix === "";
  return code === "ad" && isPlain ? node.name : node;
}

function qualify(type: Node, suffix: string): Node {
  return suffix === "" ? type : { kind: "qualified", type, suffix };
}
