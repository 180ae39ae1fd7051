/** Types in Itanium C++ names: `PKc` is `char const*`. */
import { type Node, NotDemangled, write } from "./cpp-nodes.ts";
import { type Cursor, type Grammar, newState, type Scope } from "./itanium-grammar.ts";
import { builtinTypes } from "./itanium-tables.ts";

export class Types {
  readonly #in: Cursor;
  readonly #scope: Scope;
  readonly #grammar: Grammar;

  constructor(cursor: Cursor, scope: Scope, grammar: Grammar) {
    this.#in = cursor;
    this.#scope = scope;
    this.#grammar = grammar;
  }

  qualifiers(): string {
    let restrict = "";
    let volatile = "";
    let constant = "";
    if (this.#in.take("r")) restrict = " restrict";
    if (this.#in.take("V")) volatile = " volatile";
    if (this.#in.take("K")) constant = " const";
    return constant + volatile + restrict;
  }

  type(): Node {
    return this.#in.within(() => {
      const node = this.#typeOnce();
      if (node.isNew) this.#scope.remember(node.type);
      return node.type;
    });
  }

  #typeOnce(): { type: Node; isNew: boolean } {
    const c = this.#in.peek();
    const builtin =
      builtinTypes.get(c) ?? (c === "D" ? builtinTypes.get(c + this.#in.peek(1)) : undefined);
    if (builtin !== undefined) {
      this.#in.at += c === "D" ? 2 : 1;
      return { type: builtin, isNew: false };
    }
    const isNew = (type: Node) => ({ type, isNew: true });
    switch (c) {
      case "r":
      case "V":
      case "K": {
        const suffix = this.qualifiers();
        if (this.#isFunctionAhead()) return isNew(this.#functionType(suffix));
        return isNew(qualify(this.type(), suffix));
      }
      case "U": {
        this.#in.at++;
        const name = this.#grammar.sourceName();
        if (this.#in.peek() === "I") this.#grammar.args(false);
        return isNew({ kind: "qualified", type: this.type(), suffix: ` ${name.text}` });
      }
      case "P":
        this.#in.at++;
        return isNew({ kind: "pointer", to: this.type(), mark: "*" });
      case "R":
        this.#in.at++;
        return isNew({ kind: "pointer", to: this.type(), mark: "&" });
      case "O":
        this.#in.at++;
        return isNew({ kind: "pointer", to: this.type(), mark: "&&" });
      case "C":
        this.#in.at++;
        return isNew({ kind: "qualified", type: this.type(), suffix: " _Complex" });
      case "G":
        this.#in.at++;
        return isNew({ kind: "qualified", type: this.type(), suffix: " _Imaginary" });
      case "F":
        return isNew(this.#functionType(""));
      case "A":
        return isNew(this.#arrayType());
      case "M": {
        this.#in.at++;
        const of = this.type();
        return isNew({ kind: "member", of, to: this.type() });
      }
      case "T":
        return this.#templateParamType();
      case "D":
        return this.#typeD();
      case "S":
        if (this.#in.peek(1) !== "t") {
          const node = this.#grammar.substitution();
          if (this.#in.peek() !== "I") return { type: node, isNew: false };
          return isNew({ kind: "template", name: node, args: this.#grammar.args(false) });
        }
        return isNew(this.#classType());
      case "u": {
        this.#in.at++;
        const name = this.#grammar.sourceName();
        if (this.#in.peek() !== "I") return isNew(name);
        return isNew({ kind: "template", name, args: this.#grammar.args(false) });
      }
      default:
        return isNew(this.#classType());
    }
  }

  /** A class: its template arguments are not those that T_ means. */
  #classType(): Node {
    if (/^T[sue]/.test(this.#in.text.slice(this.#in.at, this.#in.at + 2))) this.#in.at += 2;
    const args = this.#scope.templateArgs;
    const has = this.#scope.hasTemplateArgs;
    const allowed = this.#scope.allowForward;
    const node = this.#grammar.name(newState());
    this.#scope.templateArgs = args;
    this.#scope.hasTemplateArgs = has;
    this.#scope.allowForward = allowed;
    return node;
  }

  #templateParamType(): { type: Node; isNew: boolean } {
    if (/[sue]/.test(this.#in.peek(1))) return { type: this.#classType(), isNew: true };
    const param = this.#grammar.templateParam();
    if (
      this.#in.peek() !== "I" ||
      (this.#scope.allowForward && this.#scope.lambdas === 0 && !this.#argsThenMore())
    )
      return { type: param, isNew: true };
    this.#scope.remember(param);
    return {
      type: { kind: "template", name: param, args: this.#grammar.args(false) },
      isNew: true,
    };
  }

  /**
   * In `operator T<…>()` arguments may be the type's or the operator's own: they are the type's if more follow.
   * Reads them twice, so only where no other arguments are open: else the time would double at each level.
   */
  #argsThenMore(): boolean {
    if (this.#scope.openArgs > 0) return true;
    const at = this.#in.at;
    const substitutions = this.#scope.substitutions.length;
    const forwards = [...this.#scope.forwards];
    this.#grammar.args(false);
    const isMore = this.#in.peek() === "I";
    this.#in.at = at;
    this.#scope.substitutions.length = substitutions;
    this.#scope.forwards = forwards;
    return isMore;
  }

  #typeD(): { type: Node; isNew: boolean } {
    const next = this.#in.peek(1);
    if (next === "t" || next === "T") return { type: this.decltype(), isNew: true };
    if (next === "p") {
      this.#in.at += 2;
      return { type: { kind: "expansion", pattern: this.type() }, isNew: true };
    }
    if (next === "v") {
      this.#in.at += 2;
      const isNumber = this.#in.isDigit();
      if (!isNumber) this.#in.expect("_");
      const size: Node = isNumber
        ? { kind: "name", text: String(this.#in.number()) }
        : this.#grammar.expression();
      this.#in.expect("_");
      const type = this.type();
      return { type: { kind: "sequence", parts: [type, " __vector(", size, ")"] }, isNew: true };
    }
    if (next === "F") {
      const match = /^DF(\d+)([_xb])/.exec(this.#in.text.slice(this.#in.at, this.#in.at + 12));
      if (match === null) throw new NotDemangled();
      this.#in.at += match[0].length;
      const name =
        match[2] === "b"
          ? `std::bfloat${match[1]}_t`
          : `_Float${match[1]}${match[2] === "x" ? "x" : ""}`;
      return { type: { kind: "name", text: name }, isNew: false };
    }
    if (next === "B" || next === "U") {
      this.#in.at += 2;
      const size = this.#in.isDigit()
        ? String(this.#in.number())
        : write(this.#grammar.expression());
      this.#in.expect("_");
      return {
        type: { kind: "name", text: `${next === "U" ? "unsigned " : ""}_BitInt(${size})` },
        isNew: false,
      };
    }
    if (this.#isFunctionAhead()) return { type: this.#functionType(""), isNew: true };
    throw new NotDemangled();
  }

  decltype(): Node {
    this.#in.at += 2;
    const expression = this.#grammar.expression();
    this.#in.expect("E");
    return { kind: "sequence", parts: ["decltype (", expression, ")"] };
  }

  #isFunctionAhead(): boolean {
    return (
      /^(?:Do|DO|Dw|Dx)?F/.test(this.#in.text.slice(this.#in.at, this.#in.at + 3)) ||
      this.#in.peek() + this.#in.peek(1) === "DO"
    );
  }

  #functionType(qualifiers: string): Node {
    let exception = "";
    if (this.#in.take("Do")) exception = " noexcept";
    else if (this.#in.take("DO")) {
      exception = ` noexcept(${write(this.#grammar.expression())})`;
      this.#in.expect("E");
    } else if (this.#in.take("Dw")) {
      const types: string[] = [];
      while (!this.#in.take("E")) types.push(write(this.type()));
      exception = ` throw(${types.join(", ")})`;
    }
    this.#in.take("Dx");
    this.#in.expect("F");
    this.#in.take("Y"); // extern "C"
    const result = this.type();
    const params: Node[] = [];
    let reference = "";
    while (!this.#in.take("E")) {
      if (this.#in.take("RE")) reference = " &";
      else if (this.#in.take("OE")) reference = " &&";
      else {
        if (this.#in.peek() === "v" && params.length === 0) this.#in.at++;
        else params.push(this.type());
        continue;
      }
      break;
    }
    return { kind: "function", result, params, suffix: qualifiers + reference + exception };
  }

  #arrayType(): Node {
    this.#in.expect("A");
    let size: Node | undefined;
    if (this.#in.isDigit()) size = { kind: "name", text: String(this.#in.number()) };
    else if (this.#in.peek() !== "_") size = this.#grammar.expression();
    this.#in.expect("_");
    return { kind: "array", of: this.type(), size };
  }
}

function qualify(type: Node, suffix: string): Node {
  return suffix === "" ? type : { kind: "qualified", type, suffix };
}
