/**
 * Rust names, both schemes:
 *
 *     _ZN4core3fmt5Write9write_fmt17h0123456789abcdefE    legacy: C++ of sorts, with a hash
 *     _RNvNtCs1234_4core3fmt5write                        v0: paths, types and generics
 *
 * @see https://doc.rust-lang.org/rustc/symbol-mangling/v0.html
 */
import { NotDemangled } from "./cpp-nodes.ts";

const lengthLimit = 8192;
const textLimit = 16 * 1024;
const depthLimit = 150;
const stepLimit = 20_000;

/** @returns undefined when `symbol` is not a Rust name, or one past our limits */
export function demangleRust(symbol: string): string | undefined {
  if (symbol.length > lengthLimit) return undefined;
  const v0 = /^_?_R(?=[A-Z])/.exec(symbol);
  if (v0 === null) return demangleLegacy(symbol);
  try {
    return new V0(symbol.slice(v0[0].length)).symbol();
  } catch (error) {
    if (error instanceof NotDemangled) return undefined;
    throw error;
  }
}

const escapes: ReadonlyMap<string, string> = new Map([
  ["SP", "@"],
  ["BP", "*"],
  ["RF", "&"],
  ["LT", "<"],
  ["GT", ">"],
  ["LP", "("],
  ["RP", ")"],
  ["C", ","],
]);

/** `_ZN`, parts with their lengths, of which the last is `h` and 16 hex digits, `E`. */
function demangleLegacy(symbol: string): string | undefined {
  const prefix = /^_{0,2}ZN/.exec(symbol);
  if (prefix === null) return undefined;
  const parts: string[] = [];
  let at = prefix[0].length;
  while (symbol[at] !== "E") {
    const digits = /^[1-9]\d{0,3}/.exec(symbol.slice(at, at + 4));
    if (digits === null) return undefined;
    const from = at + digits[0].length;
    at = from + Number(digits[0]);
    if (at >= symbol.length) return undefined;
    parts.push(symbol.slice(from, at));
  }
  const hash = parts.pop();
  if (hash === undefined || parts.length === 0 || !/^h[0-9a-f]{16}$/.test(hash)) return undefined;
  return parts.map(unescapeLegacy).join("::");
}

function unescapeLegacy(part: string): string {
  return part
    .replace(/^_(?=\$)/, "")
    .replace(/\$(u[0-9a-f]{1,6}|[A-Z]{1,2})\$|\.\.|\./g, (found, code: string | undefined) => {
      if (found === "..") return "::";
      if (code === undefined) return found;
      if (!code.startsWith("u")) return escapes.get(code) ?? found;
      const point = Number.parseInt(code.slice(1), 16);
      return point >= 0x20 && point < 0x110000 ? String.fromCodePoint(point) : found;
    });
}

const basicTypes: ReadonlyMap<string, string> = new Map([
  ["a", "i8"],
  ["b", "bool"],
  ["c", "char"],
  ["d", "f64"],
  ["e", "str"],
  ["f", "f32"],
  ["h", "u8"],
  ["i", "isize"],
  ["j", "usize"],
  ["l", "i32"],
  ["m", "u32"],
  ["n", "i128"],
  ["o", "u128"],
  ["p", "_"],
  ["s", "i16"],
  ["t", "u16"],
  ["u", "()"],
  ["v", "..."],
  ["x", "i64"],
  ["y", "u64"],
  ["z", "!"],
]);

/** Parses and writes at once; a back reference parses the same place again. */
class V0 {
  readonly #text: string;
  #at = 0;
  #out = "";
  #silent = 0;
  #depth = 0;
  #steps = 0;
  #lifetimes = 0;

  constructor(text: string) {
    this.#text = text;
  }

  symbol(): string {
    this.#path(true);
    // The crate that instantiated it is not part of the name; a vendor's suffix starts with a dot or a dollar.
    if (/^[A-Z]/.test(this.#peek())) this.#quietly(() => this.#path(false));
    if (this.#peek() !== "" && !/^[.$]/.test(this.#peek())) throw new NotDemangled();
    return this.#out;
  }

  #peek(): string {
    return this.#text[this.#at] ?? "";
  }
  #next(): string {
    const c = this.#peek();
    if (c === "") throw new NotDemangled();
    this.#at++;
    return c;
  }
  #take(c: string): boolean {
    if (this.#peek() !== c) return false;
    this.#at++;
    return true;
  }
  #print(text: string): void {
    if (this.#silent > 0) return;
    this.#out += text;
    if (this.#out.length > textLimit) throw new NotDemangled();
  }
  #quietly(parse: () => void): void {
    this.#silent++;
    parse();
    this.#silent--;
  }
  #within(parse: () => void): void {
    if (++this.#depth > depthLimit || ++this.#steps > stepLimit) throw new NotDemangled();
    parse();
    this.#depth--;
  }

  #base62(): number {
    if (this.#take("_")) return 0;
    let value = 0;
    for (let digits = 0; !this.#take("_"); digits++) {
      if (digits > 12) throw new NotDemangled(); // 64 bits are 11
      const c = this.#next();
      const digit = /[0-9]/.test(c)
        ? c.charCodeAt(0) - 48
        : /[a-z]/.test(c)
          ? c.charCodeAt(0) - 87
          : /[A-Z]/.test(c)
            ? c.charCodeAt(0) - 29
            : -1;
      if (digit < 0) throw new NotDemangled();
      value = Math.min(value * 62 + digit, 2 ** 52); // hashes of crates are longer, and not shown
    }
    return value + 1;
  }
  #disambiguator(): number {
    return this.#take("s") ? this.#base62() + 1 : 0;
  }

  #backReference(parse: () => void): void {
    const start = this.#at - 1;
    const target = this.#base62();
    if (target >= start) throw new NotDemangled();
    if (this.#silent > 0) return;
    const back = this.#at;
    this.#at = target;
    this.#within(parse);
    this.#at = back;
  }

  #identifier(): { readonly name: string; readonly index: number } {
    const index = this.#disambiguator();
    return { index, name: this.#bareIdentifier() };
  }
  #bareIdentifier(): string {
    const isPunycode = this.#take("u");
    const digits = /^(?:0|[1-9]\d{0,4})/.exec(this.#text.slice(this.#at, this.#at + 5));
    if (digits === null) throw new NotDemangled();
    this.#at += digits[0].length;
    this.#take("_");
    const length = Number(digits[0]);
    const name = this.#text.slice(this.#at, this.#at + length);
    if (name.length !== length) throw new NotDemangled();
    this.#at += length;
    return isPunycode ? decodePunycode(name) : name;
  }

  /** @param isValue  generic arguments are written `::<…>`, as in expressions */
  #path(isValue: boolean): void {
    this.#within(() => this.#pathOnce(isValue));
  }
  #pathOnce(isValue: boolean): void {
    switch (this.#next()) {
      case "C":
        this.#print(this.#identifier().name);
        return;
      case "N": {
        const space = this.#next();
        if (!/[a-zA-Z]/.test(space)) throw new NotDemangled();
        this.#path(isValue);
        const { name, index } = this.#identifier();
        if (/[A-Z]/.test(space)) {
          const kind = space === "C" ? "closure" : space === "S" ? "shim" : space;
          this.#print(`::{${kind}${name === "" ? "" : `:${name}`}#${index}}`);
        } else if (name !== "") this.#print(`::${name}`);
        return;
      }
      case "M":
        this.#implPath();
        this.#print("<");
        this.#type();
        this.#print(">");
        return;
      case "X":
        this.#implPath();
        this.#asTrait();
        return;
      case "Y":
        this.#asTrait();
        return;
      case "I":
        this.#path(isValue);
        this.#print(isValue ? "::<" : "<");
        this.#list(() => this.#genericArg());
        this.#print(">");
        return;
      case "B":
        this.#backReference(() => this.#path(isValue));
        return;
      default:
        throw new NotDemangled();
    }
  }
  #implPath(): void {
    this.#quietly(() => {
      this.#disambiguator();
      this.#path(false);
    });
  }
  #asTrait(): void {
    this.#print("<");
    this.#type();
    this.#print(" as ");
    this.#path(false);
    this.#print(">");
  }
  /** Items up to E. @returns how many */
  #list(item: () => void, separator = ", "): number {
    let count = 0;
    for (; !this.#take("E"); count++) {
      if (count > 0) this.#print(separator);
      item();
    }
    return count;
  }

  #genericArg(): void {
    if (this.#take("L")) this.#lifetime(this.#base62());
    else if (this.#take("K")) this.#constant();
    else this.#type();
  }
  #lifetime(index: number): void {
    if (index === 0) {
      this.#print("'_");
      return;
    }
    const depth = this.#lifetimes - index;
    if (depth < 0) throw new NotDemangled();
    this.#print(depth < 26 ? `'${String.fromCharCode(97 + depth)}` : `'_${depth}`);
  }
  #withBinder(parse: () => void): void {
    const before = this.#lifetimes;
    if (this.#take("G")) {
      const count = this.#base62() + 1;
      if (count > 64) throw new NotDemangled();
      this.#print("for<");
      for (let i = 0; i < count; i++) {
        this.#lifetimes++;
        if (i > 0) this.#print(", ");
        this.#lifetime(1);
      }
      this.#print("> ");
    }
    parse();
    this.#lifetimes = before;
  }

  #type(): void {
    this.#within(() => this.#typeOnce());
  }
  #typeOnce(): void {
    const c = this.#next();
    const basic = basicTypes.get(c);
    if (basic !== undefined) {
      this.#print(basic);
      return;
    }
    switch (c) {
      case "R":
      case "Q":
        this.#print("&");
        if (this.#take("L")) {
          const index = this.#base62();
          if (index > 0) {
            this.#lifetime(index);
            this.#print(" ");
          }
        }
        if (c === "Q") this.#print("mut ");
        this.#type();
        return;
      case "P":
      case "O":
        this.#print(c === "P" ? "*const " : "*mut ");
        this.#type();
        return;
      case "A":
        this.#print("[");
        this.#type();
        this.#print("; ");
        this.#constant();
        this.#print("]");
        return;
      case "S":
        this.#print("[");
        this.#type();
        this.#print("]");
        return;
      case "T": {
        this.#print("(");
        const count = this.#list(() => this.#type());
        this.#print(count === 1 ? ",)" : ")");
        return;
      }
      case "F":
        this.#withBinder(() => this.#functionSignature());
        return;
      case "D":
        this.#print("dyn ");
        this.#withBinder(() => this.#list(() => this.#dynTrait(), " + "));
        if (!this.#take("L")) throw new NotDemangled();
        this.#boundLifetime(this.#base62());
        return;
      case "B":
        this.#backReference(() => this.#type());
        return;
      default:
        this.#at--;
        this.#path(false);
    }
  }
  #boundLifetime(index: number): void {
    if (index === 0) return;
    this.#print(" + ");
    this.#lifetime(index);
  }

  #functionSignature(): void {
    if (this.#take("U")) this.#print("unsafe ");
    if (this.#take("K")) {
      const abi = this.#take("C") ? "C" : this.#bareIdentifier().replaceAll("_", "-");
      this.#print(`extern "${abi}" `);
    }
    this.#print("fn(");
    this.#list(() => this.#type());
    this.#print(")");
    if (this.#take("u")) return;
    this.#print(" -> ");
    this.#type();
  }

  /** A trait with its associated types: `Iterator<Item = u8>`. */
  #dynTrait(): void {
    const isOpen = this.#openPath();
    let first = !isOpen;
    while (this.#take("p")) {
      this.#print(first ? "<" : ", ");
      first = false;
      this.#print(`${this.#bareIdentifier()} = `);
      this.#type();
    }
    if (isOpen || !first) this.#print(">");
  }
  /** A path whose generic arguments, if any, are left open. @returns whether they are */
  #openPath(): boolean {
    if (this.#take("B")) {
      let isOpen = false;
      this.#backReference(() => {
        isOpen = this.#openPath();
      });
      return isOpen;
    }
    if (!this.#take("I")) {
      this.#path(false);
      return false;
    }
    this.#path(false);
    this.#print("<");
    this.#list(() => this.#genericArg());
    return true;
  }

  #constant(): void {
    this.#within(() => {
      if (this.#take("p")) {
        this.#print("_");
        return;
      }
      if (this.#take("B")) {
        this.#backReference(() => this.#constant());
        return;
      }
      const type = this.#next();
      if (!/[abchijlmnostxy]/.test(type)) throw new NotDemangled();
      const sign = this.#take("n") ? "-" : "";
      const hex = /^[0-9a-f]{0,32}_/.exec(this.#text.slice(this.#at, this.#at + 33));
      if (hex === null) throw new NotDemangled();
      this.#at += hex[0].length;
      this.#print(constantText(type, sign, BigInt(`0x0${hex[0].slice(0, -1)}`)));
    });
  }
}

function constantText(type: string, sign: string, value: bigint): string {
  if (type === "b") return value === 0n ? "false" : "true";
  if (type !== "c") return `${sign}${value}`;
  if (value >= 0x110000n) throw new NotDemangled();
  return JSON.stringify(String.fromCodePoint(Number(value))).replace(/^"|"$/g, "'");
}

/** RFC 3492, with `_` for the delimiter. */
function decodePunycode(text: string): string {
  const delimiter = text.lastIndexOf("_");
  const output = delimiter > 0 ? Array.from(text.slice(0, delimiter), (c) => c.charCodeAt(0)) : [];
  let code = 128;
  let bias = 72;
  let index = 0;
  for (let at = delimiter + 1; at < text.length; ) {
    const before = index;
    for (let weight = 1, k = 36; ; k += 36) {
      const c = text[at++] ?? "";
      const digit = /[a-z]/.test(c)
        ? c.charCodeAt(0) - 97
        : /[0-9]/.test(c)
          ? c.charCodeAt(0) - 22
          : -1;
      if (digit < 0) throw new NotDemangled();
      index += digit * weight;
      const threshold = k <= bias ? 1 : k >= bias + 26 ? 26 : k - bias;
      if (digit < threshold) break;
      weight *= 36 - threshold;
      if (index > 2 ** 31 || weight > 2 ** 31) throw new NotDemangled();
    }
    const length = output.length + 1;
    let delta = Math.floor((index - before) / (before === 0 ? 700 : 2));
    delta += Math.floor(delta / length);
    bias = 0;
    for (; delta > 455; bias += 36) delta = Math.floor(delta / 35);
    bias += Math.floor((36 * delta) / (delta + 38));
    code += Math.floor(index / length);
    index %= length;
    if (code >= 0x110000 || (code >= 0xd800 && code < 0xe000)) throw new NotDemangled();
    output.splice(index++, 0, code);
  }
  return String.fromCodePoint(...output);
}
