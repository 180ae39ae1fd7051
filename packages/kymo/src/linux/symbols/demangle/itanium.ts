/**
 * C++ names of the Itanium ABI: `_ZN4node9inspector5Agent5StartEv` is `node::inspector::Agent::Start()`.
 * A recursive-descent parser over the grammar of the specification; text as `c++filt` writes it.
 * Names and template arguments are here, types and expressions beside it.
 *
 * @see https://itanium-cxx-abi.github.io/cxx-abi/abi.html#mangling
 */
import { type Node, NotDemangled, write } from "./cpp-nodes.ts";
import { Expressions } from "./itanium-expressions.ts";
import { Cursor, type Grammar, type NameState, newState, Scope } from "./itanium-grammar.ts";
import { operators, standardNames } from "./itanium-tables.ts";
import { Types } from "./itanium-types.ts";

export interface CppOptions {
  /** Parameters and return type of the function; else only its name, as profilers show it. */
  readonly params: boolean;
}

const lengthLimit = 8192;

/** @returns undefined when `symbol` is not a C++ name, or one past our limits */
export function demangleCpp(symbol: string, options: CppOptions): string | undefined {
  const prefix = /^_{1,3}Z/.exec(symbol);
  if (prefix === null || symbol.length > lengthLimit) return undefined;
  try {
    return mangledName(new Cursor(symbol, prefix[0].length), options);
  } catch (error) {
    if (error instanceof NotDemangled) return undefined;
    throw error;
  }
}

function mangledName(cursor: Cursor, { params }: CppOptions): string {
  const node = new Names(cursor).encoding();
  const clones = /^(?:\.(?:[A-Za-z_]+|\d+)(?:\.\d+)*)*$/.exec(cursor.text.slice(cursor.at));
  if (clones === null) throw new NotDemangled();
  const suffix = (clones[0].match(/\.(?:[A-Za-z_]+|\d+)(?:\.\d+)*/g) ?? [])
    .map((clone) => ` [clone ${clone}]`)
    .join("");
  return write(params || node.kind !== "encoding" ? node : node.name) + suffix;
}

class Names implements Grammar {
  readonly #in: Cursor;
  readonly #scope: Scope = new Scope();
  readonly #types: Types;
  readonly #expressions: Expressions;

  constructor(cursor: Cursor) {
    this.#in = cursor;
    this.#types = new Types(cursor, this.#scope, this);
    this.#expressions = new Expressions(cursor, this);
  }

  type(): Node {
    return this.#types.type();
  }
  qualifiers(): string {
    return this.#types.qualifiers();
  }
  decltype(): Node {
    return this.#types.decltype();
  }
  expression(): Node {
    return this.#expressions.expression();
  }
  primary(): Node {
    return this.#expressions.primary();
  }

  encoding(): Node {
    return this.#in.within(() => {
      if (
        this.#in.peek() === "T" ||
        (this.#in.peek() === "G" &&
          /^G[VRAIT]/.test(this.#in.text.slice(this.#in.at, this.#in.at + 2)))
      )
        return this.#specialName();
      const outerArgs = this.#scope.templateArgs;
      const outerHas = this.#scope.hasTemplateArgs;
      this.#scope.hasTemplateArgs = false;
      const state = newState();
      const name = this.name(state);
      let node: Node = name;
      if (!this.#atEncodingEnd()) {
        const result = state.endsWithArgs && !state.isPlain ? this.type() : undefined;
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
      if (this.#in.depth > 1) {
        this.#scope.templateArgs = outerArgs;
        this.#scope.hasTemplateArgs = outerHas;
      }
      return node;
    });
  }

  #atEncodingEnd(): boolean {
    const c = this.#in.peek();
    return c === "" || c === "E" || c === ".";
  }

  /** Types up to the end of the encoding; `v` alone is none. */
  #parameters(): Node[] {
    if (this.#in.take("v")) return [];
    const params: Node[] = [];
    do params.push(this.type());
    while (!this.#atEncodingEnd());
    return params;
  }

  #specialName(): Node {
    const of = (text: string, node: Node): Node => ({ kind: "sequence", parts: [text, node] });
    const code = this.#in.text.slice(this.#in.at, this.#in.at + 2);
    this.#in.at += 2;
    switch (code) {
      case "TV":
        return of("vtable for ", this.type());
      case "TT":
        return of("VTT for ", this.type());
      case "TI":
        return of("typeinfo for ", this.type());
      case "TS":
        return of("typeinfo name for ", this.type());
      case "TC": {
        const derived = this.type();
        this.#in.number();
        this.#in.expect("_");
        const base = this.type();
        return { kind: "sequence", parts: ["construction vtable for ", base, "-in-", derived] };
      }
      case "Th":
        this.#in.at--;
        this.#callOffset();
        return of("non-virtual thunk to ", this.encoding());
      case "Tv":
        this.#in.at--;
        this.#callOffset();
        return of("virtual thunk to ", this.encoding());
      case "Tc":
        this.#callOffset();
        this.#callOffset();
        return of("covariant return thunk to ", this.encoding());
      case "TH":
        return of("TLS init function for ", this.name(newState()));
      case "TW":
        return of("TLS wrapper function for ", this.name(newState()));
      case "TA":
        return of("template parameter object for ", this.#templateArg());
      case "GV":
        return of("guard variable for ", this.name(newState()));
      case "GA":
        return of("hidden alias for ", this.encoding());
      case "GR": {
        const name = this.name(newState());
        const index = this.#in.peek() === "_" || this.#sequenceAhead() ? this.#sequenceId() : 0;
        return { kind: "sequence", parts: [`reference temporary #${index} for `, name] };
      }
      case "GT":
        if (this.#in.take("n")) return of("non-transaction clone for ", this.encoding());
        this.#in.expect("t");
        return of("transaction clone for ", this.encoding());
      default:
        throw new NotDemangled();
    }
  }

  #sequenceAhead(): boolean {
    return /^[0-9A-Z]*_/.test(this.#in.text.slice(this.#in.at, this.#in.at + 12));
  }

  #callOffset(): void {
    const isVirtual = this.#in.take("v");
    if (!isVirtual) this.#in.expect("h");
    this.#in.take("n");
    this.#in.number();
    this.#in.expect("_");
    if (!isVirtual) return;
    this.#in.take("n");
    this.#in.number();
    this.#in.expect("_");
  }

  name(state: NameState): Node {
    return this.#in.within(() => {
      const c = this.#in.peek();
      if (c === "N") return this.#nestedName(state);
      if (c === "Z") return this.#localName(state);
      if (c === "S" && this.#in.peek(1) !== "t") {
        const name = this.substitution();
        if (this.#in.peek() !== "I") return name;
        state.endsWithArgs = true;
        return { kind: "template", name, args: this.args(true) };
      }
      let name: Node = this.#in.take("St")
        ? {
            kind: "nested",
            scope: { kind: "name", text: "std" },
            name: this.unqualified(undefined, state),
          }
        : this.unqualified(undefined, state);
      if (this.#in.peek() === "I") {
        this.#scope.remember(name);
        state.endsWithArgs = true;
        name = { kind: "template", name, args: this.args(true) };
      }
      return name;
    });
  }

  #nestedName(state: NameState): Node {
    this.#in.expect("N");
    if (this.#in.take("H")) state.qualifiers = ""; // explicit object member function
    const qualifiers = this.qualifiers();
    const reference = this.#in.take("R") ? " &" : this.#in.take("O") ? " &&" : "";
    const node = this.#prefixes(state);
    state.qualifiers = qualifiers + reference;
    return node;
  }

  /** `A::B<int>::f` up to the E: every part but the last whole is a substitution. */
  #prefixes(state: NameState): Node {
    let soFar: Node | undefined;
    let isSubstitution = false;
    while (!this.#in.take("E")) {
      const c = this.#in.peek();
      state.endsWithArgs = false;
      if (c === "S" && soFar === undefined) {
        if (this.#in.take("St")) {
          soFar = { kind: "name", text: "std" };
        } else soFar = this.substitution();
        isSubstitution = true;
        continue;
      }
      if (c === "M" && soFar !== undefined) {
        this.#in.at++;
        continue;
      }
      if (c === "I" && soFar !== undefined) {
        soFar = { kind: "template", name: soFar, args: this.args(true) };
        state.endsWithArgs = true;
      } else if (c === "T" && soFar === undefined) soFar = this.templateParam();
      else if (c === "D" && /[tT]/.test(this.#in.peek(1)) && soFar === undefined)
        soFar = this.decltype();
      else {
        state.isPlain = false;
        const name = this.unqualified(soFar, state);
        soFar = soFar === undefined ? name : { kind: "nested", scope: soFar, name };
      }
      isSubstitution = false;
      this.#scope.remember(soFar);
    }
    if (soFar === undefined) throw new NotDemangled();
    if (!isSubstitution) {
      this.#scope.substitutions.pop();
      this.#scope.paramSubstitutions.delete(this.#scope.substitutions.length);
    }
    return soFar;
  }

  #localName(state: NameState): Node {
    this.#in.expect("Z");
    const whole = this.encoding();
    // As a scope, a function shows its parameters but not its return type.
    const scope: Node = whole.kind === "encoding" ? { ...whole, result: undefined } : whole;
    this.#in.expect("E");
    if (this.#in.take("s")) {
      this.#discriminator();
      return { kind: "local", scope, name: { kind: "name", text: "string literal" } };
    }
    let place: Node = scope;
    if (this.#in.take("d")) {
      const argument = this.#in.indexUnderscore();
      place = {
        kind: "local",
        scope,
        name: { kind: "name", text: `{default arg#${argument + 1}}` },
      };
    }
    const name = this.name(state);
    this.#discriminator();
    return { kind: "local", scope: place, name };
  }

  /** Tells apart entities of the same name in one function; not shown. */
  #discriminator(): void {
    if (this.#in.peek() !== "_") return;
    const match = /^_(?:_\d+_|\d)/.exec(this.#in.text.slice(this.#in.at, this.#in.at + 16));
    if (match !== null) this.#in.at += match[0].length;
  }

  unqualified(scope: Node | undefined, state: NameState): Node {
    if (this.#in.peek() === "F" && this.#in.at > 0) this.#in.at++; // member-like friend
    this.#in.take("L"); // internal linkage
    const c = this.#in.peek();
    let node: Node;
    if (this.#in.isDigit()) node = this.sourceName();
    else if (c === "U") node = this.#unnamed();
    else if (c === "C" || (c === "D" && /[0-5]/.test(this.#in.peek(1)))) {
      if (scope === undefined) throw new NotDemangled();
      this.#in.at++;
      const isInherited = c === "C" && this.#in.take("I");
      if (!/[0-5]/.test(this.#in.peek())) throw new NotDemangled();
      this.#in.at++;
      if (isInherited) this.type();
      state.isPlain = true;
      node = { kind: "structor", of: scope, isDestructor: c === "D" };
    } else if (this.#in.take("DC")) {
      const names: Node[] = [];
      while (!this.#in.take("E")) names.push(this.sourceName());
      const parts = names.flatMap((name, i) => (i === 0 ? [name] : [", ", name]));
      node = { kind: "sequence", parts: ["[", ...parts, "]"] };
    } else node = this.#operatorName(state);
    while (this.#in.take("B")) {
      const tag = this.sourceName();
      node = { kind: "tagged", name: node, tag: tag.text };
    }
    return node;
  }

  sourceName(): Node & { kind: "name" } {
    const length = this.#in.number();
    if (length === 0 || this.#in.at + length > this.#in.text.length) throw new NotDemangled();
    const text = this.#in.text.slice(this.#in.at, this.#in.at + length);
    this.#in.at += length;
    return { kind: "name", text: /^_GLOBAL_[_.$]N/.test(text) ? "(anonymous namespace)" : text };
  }

  #unnamed(): Node {
    if (this.#in.take("Ut"))
      return { kind: "name", text: `{unnamed type#${this.#in.indexUnderscore() + 1}}` };
    if (this.#in.take("Ub"))
      return { kind: "name", text: `{block literal#${this.#in.indexUnderscore() + 1}}` };
    this.#in.expect("Ul");
    this.#scope.lambdas++;
    while (/^T[yntpk]/.test(this.#in.text.slice(this.#in.at, this.#in.at + 2)))
      this.#templateParamDeclaration();
    const params = this.#parameters();
    this.#scope.lambdas--;
    this.#in.expect("E");
    return { kind: "lambda", params, number: this.#in.indexUnderscore() + 1 };
  }

  /** `[]<typename T, int N>`: read over; the parameters show as auto. */
  #templateParamDeclaration(): void {
    this.#in.within(() => {
      if (this.#in.take("Ty")) return;
      if (this.#in.take("Tk")) {
        this.name(newState());
        return;
      }
      if (this.#in.take("Tn")) {
        this.type();
        return;
      }
      if (this.#in.take("Tp")) {
        this.#templateParamDeclaration();
        return;
      }
      this.#in.expect("Tt");
      while (!this.#in.take("E")) this.#templateParamDeclaration();
    });
  }

  #operatorName(state: NameState): Node {
    const code = this.#in.text.slice(this.#in.at, this.#in.at + 2);
    if (code === "cv") {
      this.#in.at += 2;
      state.isPlain = true;
      const allowed = this.#scope.allowForward;
      this.#scope.allowForward = true;
      const type = this.type();
      this.#scope.allowForward = allowed;
      return { kind: "conversion", type };
    }
    if (code === "li") {
      this.#in.at += 2;
      return { kind: "name", text: `operator"" ${this.sourceName().text}` };
    }
    if (/^v\d$/.test(code)) {
      this.#in.at += 2;
      return { kind: "name", text: `operator ${this.sourceName().text}` };
    }
    const text = operators.get(code);
    if (text === undefined) throw new NotDemangled();
    this.#in.at += 2;
    return {
      kind: "name",
      text: /^[a-z]/.test(text) ? `operator ${text.trim()}` : `operator${text}`,
    };
  }

  // -- template arguments and substitutions

  /** @param isName  these are the arguments that T_ of the function's types means */
  args(isName: boolean): Node[] {
    return this.#in.within(() => {
      this.#in.expect("I");
      const outerArgs = this.#scope.templateArgs;
      const outerHas = this.#scope.hasTemplateArgs;
      const args: Node[] = [];
      this.#scope.openArgs++;
      while (!this.#in.take("E")) {
        args.push(this.#templateArg());
        if (this.#in.take("Q")) throw new NotDemangled();
      }
      this.#scope.openArgs--;
      this.#scope.templateArgs = outerArgs;
      this.#scope.hasTemplateArgs = outerHas;
      if (isName && this.#scope.lambdas === 0) {
        this.#scope.templateArgs = args;
        this.#scope.hasTemplateArgs = true;
        for (const forward of this.#scope.forwards) forward.target ??= args[forward.index];
        this.#scope.forwards = [];
      }
      return args;
    });
  }

  #templateArg(): Node {
    return this.#in.within(() => {
      const c = this.#in.peek();
      if (c === "X") {
        this.#in.at++;
        const expression = this.expression();
        this.#in.expect("E");
        return expression;
      }
      if (c === "L") return this.primary();
      if (c === "J" || (c === "I" && this.#in.at > 0)) {
        this.#in.at++;
        const items: Node[] = [];
        while (!this.#in.take("E")) items.push(this.#templateArg());
        return { kind: "pack", items };
      }
      return this.type();
    });
  }

  templateParam(): Node {
    this.#in.expect("T");
    if (this.#in.take("L")) {
      this.#in.indexUnderscore();
      return { kind: "name", text: `auto:${this.#in.indexUnderscore() + 1}` };
    }
    const index = this.#in.indexUnderscore();
    if (this.#scope.lambdas > 0) {
      const node: Node = { kind: "name", text: `auto:${index + 1}` };
      this.#scope.lastParam = { node, index };
      return node;
    }
    if (this.#scope.allowForward) {
      const forward: Node & { kind: "forward" } = { kind: "forward", index, target: undefined };
      this.#scope.forwards.push(forward);
      return forward;
    }
    const node = this.#scope.argument(index);
    if (node === undefined) throw new NotDemangled();
    this.#scope.lastParam = { node, index };
    return node;
  }

  #sequenceId(): number {
    let value = 0;
    if (this.#in.take("_")) return 0;
    for (; this.#in.peek() !== "_"; this.#in.at++) {
      const digit = Number.parseInt(this.#in.peek(), 36);
      if (Number.isNaN(digit) || value > 2 ** 31) throw new NotDemangled();
      value = value * 36 + digit;
    }
    this.#in.at++;
    return value + 1;
  }

  substitution(): Node {
    this.#in.expect("S");
    const c = this.#in.peek();
    if (c === "_" || this.#in.isDigit() || (c >= "A" && c <= "Z")) {
      const id = this.#sequenceId();
      const node = this.#scope.substitutions[id];
      if (node === undefined) throw new NotDemangled();
      // A template parameter means the one of the function that is being read now.
      const param = this.#scope.paramSubstitutions.get(id);
      return (
        (param === undefined || this.#scope.lambdas > 0
          ? undefined
          : this.#scope.argument(param)) ?? node
      );
    }
    const standard = standardNames.get(c);
    if (standard === undefined) throw new NotDemangled();
    this.#in.at++;
    // A constructor needs the name of the template behind the short form.
    const next = this.#in.peek();
    const isStructor = next === "C" || (next === "D" && /[0-5]/.test(this.#in.peek(1)));
    let node: Node = isStructor ? standard.full : standard.short;
    while (this.#in.take("B")) node = { kind: "tagged", name: node, tag: this.sourceName().text };
    return node;
  }
}
