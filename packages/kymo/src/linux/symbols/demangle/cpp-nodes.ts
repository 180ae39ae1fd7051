/**
 * The tree a C++ name is demangled into, and how it is written out.
 * Types write in two halves around a name, as in C: `void (*` … `)(int)`; everything else has only a left half.
 * Substitutions share nodes, so a short symbol can describe a gigabyte of text: steps and length are limited.
 */
export type Node =
  | { readonly kind: "name"; readonly text: string }
  | { readonly kind: "builtin"; readonly text: string; readonly literal: string | undefined }
  | { readonly kind: "nested"; readonly scope: Node; readonly name: Node }
  | { readonly kind: "local"; readonly scope: Node; readonly name: Node }
  | { readonly kind: "template"; readonly name: Node; readonly args: readonly Node[] }
  | { readonly kind: "tagged"; readonly name: Node; readonly tag: string }
  | { readonly kind: "structor"; readonly of: Node; readonly isDestructor: boolean }
  | { readonly kind: "conversion"; readonly type: Node }
  | { readonly kind: "lambda"; readonly params: readonly Node[]; readonly number: number }
  | { readonly kind: "qualified"; readonly type: Node; readonly suffix: string }
  | { readonly kind: "pointer"; readonly to: Node; readonly mark: "*" | "&" | "&&" }
  | { readonly kind: "member"; readonly of: Node; readonly to: Node }
  | { readonly kind: "array"; readonly of: Node; readonly size: Node | undefined }
  | {
      readonly kind: "function";
      readonly result: Node | undefined;
      readonly params: readonly Node[];
      readonly suffix: string;
    }
  | {
      readonly kind: "encoding";
      readonly name: Node;
      readonly result: Node | undefined;
      readonly params: readonly Node[] | undefined;
      readonly suffix: string;
    }
  /** Arguments for a parameter pack, written as a list. */
  | { readonly kind: "pack"; readonly items: readonly Node[] }
  /** A template parameter that stands for a pack: inside an expansion, for one of its items. */
  | { readonly kind: "packParam"; readonly items: readonly Node[] }
  | { readonly kind: "expansion"; readonly pattern: Node }
  | { readonly kind: "literal"; readonly type: Node; readonly value: string }
  /** Text and nodes one after the other: expressions, "vtable for X". */
  | { readonly kind: "sequence"; readonly parts: readonly (string | Node)[] }
  /** In parentheses unless it is a plain name. */
  | { readonly kind: "operand"; readonly node: Node }
  | { readonly kind: "packSize"; readonly of: Node }
  /** A template parameter used before its arguments are known (`operator T()`). */
  | { readonly kind: "forward"; readonly index: number; target: Node | undefined };

/** The symbol is malformed, or its text is past the limits: the raw name is better. */
export class NotDemangled extends Error {}

const textLimit = 16 * 1024;
const stepLimit = 50_000;
const depthLimit = 300;

/** The text of `node`. @throws NotDemangled past the limits */
export function write(node: Node): string {
  const writer = new Writer();
  writer.whole(node);
  return writer.text;
}

class Writer {
  text = "";
  #steps = 0;
  #depth = 0;
  /** Which element of every pack is meant, inside an expansion; −1 outside. */
  #packIndex = -1;
  /** Elements of the packs seen inside the expansion; −1 when none was seen yet. */
  #packCount = -1;

  whole(node: Node): void {
    this.left(node);
    this.right(node);
  }

  #add(text: string): void {
    this.text += text;
    if (this.text.length > textLimit) throw new NotDemangled();
  }

  #enter(): void {
    if (++this.#steps > stepLimit || ++this.#depth > depthLimit) throw new NotDemangled();
  }

  left(node: Node): void {
    this.#enter();
    this.#left(node);
    this.#depth--;
  }

  #left(node: Node): void {
    switch (node.kind) {
      case "name":
      case "builtin":
        this.#add(node.text);
        return;
      case "nested":
      case "local":
        this.whole(node.scope);
        this.#add("::");
        this.whole(node.name);
        return;
      case "template":
        this.whole(node.name);
        this.#templateArgs(node.args);
        return;
      case "tagged":
        this.whole(node.name);
        this.#add(`[abi:${node.tag}]`);
        return;
      case "structor":
        if (node.isDestructor) this.#add("~");
        this.#baseName(node.of);
        return;
      case "conversion":
        this.#add("operator ");
        this.whole(node.type);
        return;
      case "lambda":
        this.#add("{lambda(");
        this.#list(node.params);
        this.#add(`)#${node.number}}`);
        return;
      case "qualified":
        this.left(node.type);
        this.#add(this.#newQualifiers(node));
        return;
      case "pointer": {
        const { to, mark } = this.#collapse(node);
        this.left(to);
        if (this.#bindsLoosely(to)) this.#openParenthesis(to);
        this.#add(mark);
        return;
      }
      case "member": {
        this.left(node.to);
        if (this.#bindsLoosely(node.to)) this.#openParenthesis(node.to);
        else this.#add(" ");
        this.whole(node.of);
        this.#add("::*");
        return;
      }
      case "array":
        this.left(node.of);
        return;
      case "function":
        if (node.result === undefined) return;
        this.left(node.result);
        if (!this.#hasRight(node.result)) this.#add(" ");
        return;
      case "encoding":
        this.#encoding(node);
        return;
      case "pack":
        this.#list(node.items);
        return;
      case "packParam": {
        if (this.#packIndex < 0) {
          this.#list(node.items);
          return;
        }
        const item = this.#packItem(node.items);
        if (item !== undefined) this.left(item);
        return;
      }
      case "expansion":
        this.#expansion(node.pattern);
        return;
      case "literal":
        this.#literal(node.type, node.value);
        return;
      case "sequence":
        for (const part of node.parts) {
          if (typeof part === "string") this.#add(part);
          else this.whole(part);
        }
        return;
      case "operand":
        this.#operand(node.node);
        return;
      case "packSize":
        this.#add(String(node.of.kind === "packParam" ? node.of.items.length : 1));
        return;
      case "forward":
        if (node.target === undefined) throw new NotDemangled();
        this.left(node.target);
        return;
    }
  }

  right(node: Node): void {
    this.#enter();
    this.#right(node);
    this.#depth--;
  }

  #right(node: Node): void {
    switch (node.kind) {
      case "qualified":
        this.right(node.type);
        return;
      case "pointer": {
        const { to } = this.#collapse(node);
        if (this.#bindsLoosely(to)) this.#add(")");
        this.right(to);
        return;
      }
      case "member":
        if (this.#bindsLoosely(node.to)) this.#add(")");
        this.right(node.to);
        return;
      case "array":
        this.#add(this.text.endsWith("]") ? "[" : " [");
        if (node.size !== undefined) this.whole(node.size);
        this.#add("]");
        this.right(node.of);
        return;
      case "function":
        this.#add("(");
        this.#list(node.params);
        this.#add(`)${node.suffix}`);
        if (node.result !== undefined) this.right(node.result);
        return;
      case "packParam": {
        const item = this.#packIndex < 0 ? undefined : this.#packItem(node.items);
        if (item !== undefined) this.right(item);
        return;
      }
      case "forward":
        if (node.target !== undefined) this.right(node.target);
        return;
      default:
        return;
    }
  }

  #encoding(node: Node & { kind: "encoding" }): void {
    if (node.result !== undefined) {
      this.left(node.result);
      if (!this.#hasRight(node.result)) this.#add(" ");
    }
    this.whole(node.name);
    if (node.params !== undefined) {
      this.#add("(");
      this.#list(node.params);
      this.#add(")");
    }
    this.#add(node.suffix);
    if (node.result !== undefined) this.right(node.result);
  }

  /** `const` of what is const already (through a template argument) is said once. */
  #newQualifiers(node: Node & { kind: "qualified" }): string {
    const inner = this.#resolve(node.type);
    if (inner.kind !== "qualified") return node.suffix;
    return node.suffix.replace(/ \w+/g, (word) => (inner.suffix.includes(word) ? "" : word));
  }

  /** Functions and arrays, and what points at them, put text behind the name. */
  #hasRight(node: Node): boolean {
    let at = this.#resolve(node);
    for (let steps = 0; steps < depthLimit; steps++) {
      if (at.kind === "function" || at.kind === "array") return true;
      if (at.kind === "qualified") at = this.#resolve(at.type);
      else if (at.kind === "pointer" || at.kind === "member") at = this.#resolve(at.to);
      else return false;
    }
    throw new NotDemangled();
  }

  /** Whether a pointer to it needs parentheses. */
  #bindsLoosely(node: Node): boolean {
    const target = this.#resolve(node);
    if (target.kind === "qualified") return this.#bindsLoosely(target.type);
    return target.kind === "function" || target.kind === "array";
  }

  #openParenthesis(to: Node): void {
    const target = this.#resolve(to);
    const isFunction = target.kind === "function" && target.result !== undefined;
    this.#add(isFunction || this.text.endsWith("(") ? "(" : " (");
  }

  /** A template parameter stands for its argument, inside an expansion for the current one. */
  #resolve(node: Node): Node {
    let at = node;
    for (let steps = 0; steps < 64; steps++) {
      if (at.kind === "forward" && at.target !== undefined) at = at.target;
      else if (at.kind === "packParam" && this.#packIndex >= 0) {
        const item = this.#packItem(at.items);
        if (item === undefined) return at;
        at = item;
      } else return at;
    }
    return at;
  }

  /** A reference to a reference is one reference. */
  #collapse(node: Node & { kind: "pointer" }): { to: Node; mark: string } {
    let { mark } = node;
    let to = node.to;
    for (let steps = 0; mark !== "*" && steps < 64; steps++) {
      const target = this.#resolve(to);
      if (target.kind !== "pointer" || target.mark === "*") break;
      if (target.mark === "&") mark = "&";
      to = target.to;
    }
    return { to, mark };
  }

  #packItem(items: readonly Node[]): Node | undefined {
    if (this.#packCount < 0) this.#packCount = items.length;
    return items[this.#packIndex];
  }

  #templateArgs(args: readonly Node[]): void {
    const [index, count] = [this.#packIndex, this.#packCount];
    this.#add(this.text.endsWith("<") ? " <" : "<");
    this.#list(args);
    this.#add(this.text.endsWith(">") ? " >" : ">");
    [this.#packIndex, this.#packCount] = [index, Math.max(count, this.#packCount)];
  }

  /** With commas; what writes nothing (an empty pack) gets none. */
  #list(nodes: readonly Node[]): void {
    const start = this.text.length;
    for (const node of nodes) {
      const before = this.text.length;
      if (before > start) this.#add(", ");
      const from = this.text.length;
      this.whole(node);
      if (this.text.length === from) this.text = this.text.slice(0, before);
    }
  }

  #expansion(pattern: Node): void {
    const [index, count] = [this.#packIndex, this.#packCount];
    const start = this.text.length;
    this.#packIndex = 0;
    this.#packCount = -1;
    this.whole(pattern);
    const items = this.#packCount;
    if (items < 0) this.#add("...");
    else if (items === 0) this.text = this.text.slice(0, start);
    for (let item = 1; item < items; item++) {
      this.#packIndex = item;
      this.#add(", ");
      this.whole(pattern);
    }
    [this.#packIndex, this.#packCount] = [index, count];
  }

  #literal(type: Node, value: string): void {
    const target = this.#resolve(type);
    if (target.kind === "builtin" && target.text === "bool" && /^[01]$/.test(value)) {
      this.#add(value === "1" ? "true" : "false");
      return;
    }
    if (target.kind === "builtin" && target.literal !== undefined) {
      this.#add(`${value}${target.literal}`);
      return;
    }
    this.#add("(");
    this.whole(type);
    this.#add(`)${value}`);
  }

  #operand(node: Node): void {
    const bare = node.kind === "name" || node.kind === "nested";
    if (!bare) this.#add("(");
    this.whole(node);
    if (!bare) this.#add(")");
  }

  /** `string` of `std::string<…>`: what its constructor is called. */
  #baseName(node: Node): void {
    this.#enter();
    if (node.kind === "nested" || node.kind === "local") this.#baseName(node.name);
    else if (node.kind === "template" || node.kind === "tagged") this.#baseName(node.name);
    else this.whole(node);
    this.#depth--;
  }
}
