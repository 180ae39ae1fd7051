import fc from "fast-check";
import { expect, test } from "vitest";
import { type RawSymbols, rank, SymbolTable, sortByAddress } from "./symbol-table.ts";

interface Symbol {
  readonly address: number;
  readonly size: number;
  readonly name: string;
  readonly rank: number;
}

function tableOf(symbols: readonly Symbol[], endOf: (address: number) => number): SymbolTable {
  const names: number[] = [];
  let text = "";
  for (const { name } of symbols) {
    names.push(text.length);
    text += `${name}\0`;
  }
  const raw: RawSymbols = {
    count: symbols.length,
    addresses: Float64Array.from(symbols, ({ address }) => address),
    sizes: Float64Array.from(symbols, ({ size }) => size),
    names: Uint32Array.from(names),
    ranks: Uint8Array.from(symbols, (symbol) => symbol.rank),
  };
  return new SymbolTable(raw, { strings: Buffer.from(text), nameEnd: 1, endOf });
}

/** The plain rule: of the symbols that hold the address, the one that starts last. */
function plainFind(
  symbols: readonly Symbol[],
  address: number,
  endOf: (address: number) => number,
): string {
  const addresses = [...new Set(symbols.map((symbol) => symbol.address))].sort((a, b) => a - b);
  const kept = addresses.map((one) => {
    const aliases = symbols.filter((symbol) => symbol.address === one);
    const underscores = (name: string) => /^_*/.exec(name)![0].length;
    const [best] = aliases.sort(
      (a, b) =>
        a.rank - b.rank ||
        underscores(a.name) - underscores(b.name) ||
        a.name.length - b.name.length ||
        (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
    );
    return { ...best!, size: Math.max(...aliases.map(({ size }) => size)) };
  });
  const sized = kept.filter(({ size, rank: r }) => size > 0 && r < rank.boundary);
  const inside = (at: number) =>
    sized.some((one) => one.address < at && at < one.address + one.size);
  let found = "";
  kept.forEach((symbol, i) => {
    if (symbol.rank >= rank.boundary || (symbol.size === 0 && inside(symbol.address))) return;
    const next = kept[i + 1]?.address ?? Number.POSITIVE_INFINITY;
    const end =
      symbol.size > 0 ? symbol.address + symbol.size : Math.min(next, endOf(symbol.address));
    if (symbol.address <= address && address < end) found = symbol.name;
  });
  return found;
}

test("find agrees with the plain rule: nested, overlapping, unsized, aliased", () => {
  const symbol = fc.record({
    address: fc.nat(60),
    size: fc.oneof(fc.constant(0), fc.nat(30)),
    name: fc.stringMatching(/^_{0,2}[a-c]{1,3}$/),
    rank: fc.constantFrom(0, rank.local, rank.label),
  });
  fc.assert(
    fc.property(fc.array(symbol, { maxLength: 14 }), fc.nat(100), (drawn, last) => {
      const symbols = drawn.map((one) =>
        one.size === 0 ? { ...one, rank: one.rank | rank.unsized } : one,
      );
      const endOf = (address: number) => (address <= last ? last + 1 : Number.POSITIVE_INFINITY);
      const table = tableOf(symbols, endOf);
      const addresses = Array.from({ length: 100 }, (_, address) => address);
      const found = addresses.map((address) => {
        const symbol = table.find(address);
        return symbol < 0 ? "" : table.name(symbol);
      });
      expect(found).toEqual(addresses.map((address) => plainFind(symbols, address, endOf)));
    }),
    { numRuns: 2000 },
  );
});

test("a boundary ends the unsized function before it and names nothing", () => {
  const table = tableOf(
    [
      { address: 10, size: 0, name: "f", rank: rank.unsized },
      { address: 20, size: 0, name: "_etext", rank: rank.boundary },
    ],
    () => Number.POSITIVE_INFINITY,
  );
  expect(table.find(19)).toBe(0);
  expect(table.find(20)).toBe(-1);
});

test("sortByAddress agrees with sort, also where addresses are too far apart for its trick", () => {
  const address = fc.oneof(fc.nat(1000), fc.maxSafeNat());
  fc.assert(
    fc.property(fc.array(address), (addresses) => {
      const plain = addresses
        .map((_, i) => i)
        .sort((a, b) => addresses[a]! - addresses[b]! || a - b);
      expect(Array.from(sortByAddress(Float64Array.from(addresses), addresses.length))).toEqual(
        plain,
      );
    }),
  );
});
