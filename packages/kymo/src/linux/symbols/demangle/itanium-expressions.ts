/** Expressions in template arguments, decltype and array bounds of Itanium C++ names. */
import { type Node, NotDemangled } from "./cpp-nodes.ts";
import { type Cursor, type Grammar, newState } from "./itanium-grammar.ts";
import { operators } from "./itanium-tables.ts";

export class Expressions {
  readonly #in: Cursor;
  readonly #grammar: Grammar;

  constructor(cursor: Cursor, grammar: Grammar) {
    this.#in = cursor;
    this.#grammar = grammar;
  }

  primary(): Node {
    this.#in.expect("L");
    if (this.#in.take("_Z") || this.#in.take("Z")) {
      const node = this.#grammar.encoding();
      this.#in.expect("E");
      return node;
    }
    const type = this.#grammar.type();
    const end = this.#in.text.indexOf("E", this.#in.at);
    if (end < 0) throw new NotDemangled();
    const raw = this.#in.text.slice(this.#in.at, end);
    this.#in.at = end + 1;
    if (type.kind === "builtin" && type.text === "decltype(nullptr)")
      return { kind: "literal", type, value: raw === "" ? "0" : raw };
    if (!/^n?[0-9a-f]*$/.test(raw)) throw new NotDemangled();
    if (type.kind === "builtin" && /^(?:float|double|long double|__float128)$/.test(type.text))
      return { kind: "literal", type, value: `[${raw}]` };
    return { kind: "literal", type, value: raw.replace(/^n/, "-") };
  }

  expression(): Node {
    return this.#in.within(() => this.#expressionOnce());
  }

  #expressions(): Node[] {
    const list: Node[] = [];
    while (!this.#in.take("E")) list.push(this.expression());
    return list;
  }

  #expressionOnce(): Node {
    const c = this.#in.peek();
    if (c === "L") return this.primary();
    if (c === "T") return this.#grammar.templateParam();
    if (this.#in.isDigit()) return this.#unqualifiedWithArgs();
    const code = this.#in.text.slice(this.#in.at, this.#in.at + 2);
    this.#in.take("gs");
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
        this.#in.at += 2;
        return sequence(
          `${{ st: "sizeof", at: "alignof", ti: "typeid" }[code]} (`,
          this.#grammar.type(),
          ")",
        );
      case "sz":
      case "az":
      case "te":
      case "nx":
        this.#in.at += 2;
        return sequence(
          { sz: "sizeof ", az: "alignof ", te: "typeid ", nx: "noexcept" }[code],
          operand(this.expression()),
        );
      case "sZ":
        this.#in.at += 2;
        return {
          kind: "packSize",
          of: this.#in.peek() === "T" ? this.#grammar.templateParam() : this.#functionParam(),
        };
      case "sp":
        this.#in.at += 2;
        return { kind: "expansion", pattern: this.expression() };
      case "cl": {
        this.#in.at += 2;
        const callee = this.expression();
        return sequence(operand(callee), "(", ...joined(this.#expressions()), ")");
      }
      case "cv": {
        this.#in.at += 2;
        const type = this.#grammar.type();
        if (!this.#in.take("_")) return sequence("(", type, ")", operand(this.expression()));
        return sequence("(", type, ")(", ...joined(this.#expressions()), ")");
      }
      case "sc":
      case "dc":
      case "rc":
      case "cc": {
        this.#in.at += 2;
        const word = { sc: "static", dc: "dynamic", rc: "reinterpret", cc: "const" }[code];
        const type = this.#grammar.type();
        return sequence(`${word}_cast<`, type, ">(", this.expression(), ")");
      }
      case "tl":
        this.#in.at += 2;
        return sequence(this.#grammar.type(), "{", ...joined(this.#expressions()), "}");
      case "il":
        this.#in.at += 2;
        return sequence("{", ...joined(this.#expressions()), "}");
      case "dt":
      case "pt": {
        this.#in.at += 2;
        const object = this.expression();
        return sequence(operand(object), code === "dt" ? "." : "->", this.expression());
      }
      case "ix": {
        this.#in.at += 2;
        const object = this.expression();
        return sequence(operand(object), "[", this.expression(), "]");
      }
      case "qu": {
        this.#in.at += 2;
        const condition = this.expression();
        const first = this.expression();
        return sequence(operand(condition), "?", operand(first), " : ", operand(this.expression()));
      }
      case "on":
        this.#in.at += 2;
        return this.#unqualifiedWithArgs();
      case "tr":
        this.#in.at += 2;
        return sequence("throw");
      case "tw":
        this.#in.at += 2;
        return sequence("throw ", this.expression());
      case "nw":
      case "na":
        return this.#newExpression(code);
    }
    return this.#operatorExpression(code);
  }

  #operatorExpression(code: string): Node {
    const text = operators.get(code);
    if (text === undefined) throw new NotDemangled();
    this.#in.at += 2;
    const operand = (node: Node): Node => ({ kind: "operand", node });
    if (unary.has(code)) {
      if ((code === "pp" || code === "mm") && !this.#in.take("_"))
        return { kind: "sequence", parts: [operand(this.expression()), text] };
      return { kind: "sequence", parts: [text, operand(addressed(code, this.expression()))] };
    }
    const left = this.expression();
    const right = this.expression();
    const parts = [operand(left), text, operand(right)];
    return { kind: "sequence", parts: code === "gt" ? ["(", ...parts, ")"] : parts };
  }

  #newExpression(code: "nw" | "na"): Node {
    this.#in.at += 2;
    const placement: Node[] = [];
    while (!this.#in.take("_")) placement.push(this.expression());
    const type = this.#grammar.type();
    const init = this.#in.take("pi") ? this.#expressions() : undefined;
    if (init === undefined) this.#in.expect("E");
    const at = placement.length === 0 ? [] : ["(", ...joined(placement), ") "];
    const word = code === "nw" ? "new " : "new[] ";
    return {
      kind: "sequence",
      parts: [word, ...at, type, ...(init === undefined ? [] : ["(", ...joined(init), ")"])],
    };
  }

  #functionParam(): Node {
    if (this.#in.take("fpT")) return { kind: "name", text: "this" };
    if (this.#in.take("fL")) {
      this.#in.number();
      this.#in.expect("p");
    } else this.#in.expect("fp");
    this.#grammar.qualifiers();
    return { kind: "name", text: `{parm#${this.#in.indexUnderscore() + 1}}` };
  }

  #scopeResolution(): Node {
    this.#in.expect("sr");
    let scope: Node;
    if (this.#in.take("N")) {
      scope = this.#grammar.type();
      if (this.#in.peek() === "I")
        scope = { kind: "template", name: scope, args: this.#grammar.args(false) };
      while (!this.#in.take("E"))
        scope = { kind: "nested", scope, name: this.#unqualifiedWithArgs() };
    } else if (this.#in.isDigit()) {
      scope = this.#unqualifiedWithArgs();
      while (!this.#in.take("E"))
        scope = { kind: "nested", scope, name: this.#unqualifiedWithArgs() };
    } else scope = this.#grammar.type();
    return { kind: "nested", scope, name: this.#unqualifiedWithArgs() };
  }

  #unqualifiedWithArgs(): Node {
    this.#in.take("on");
    const name = this.#grammar.unqualified(undefined, newState());
    return this.#in.peek() === "I"
      ? { kind: "template", name, args: this.#grammar.args(false) }
      : name;
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
