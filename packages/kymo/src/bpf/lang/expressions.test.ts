import { expect, test } from "vitest";
import { evaluate, type event } from "./testing/run.ts";

type Fields = Parameters<typeof event>[0];

const cases: readonly [string, Fields, unknown][] = [
  ["1 + 2 * 3", {}, 7n],
  ["e.pid", { pid: -5 }, -5n],
  ["e.flags", { flags: 0xffffffff }, 0xffffffffn],
  ["e.pid + e.flags", { pid: -1, flags: 1 }, 0n],
  // A result is signed when either side is.
  ["e.pid < e.flags", { pid: -1, flags: 1 }, true],
  // A number that is written out takes the other side's sign.
  ["e.count < 0", { count: 2n ** 64n - 1n }, false],
  ["e.count > 1", { count: 2n ** 64n - 1n }, true],
  ["e.count / 2", { count: 2n ** 63n }, 2n ** 62n],
  ["e.delta / 2", { delta: -5n }, -2n],
  ["e.delta % 3", { delta: -5n }, -2n],
  ["e.delta / 0", { delta: 5n }, 0n],
  ["e.delta % 0", { delta: 5n }, 5n],
  ["e.delta >> 1", { delta: -2n }, -1n],
  ["e.delta >>> 63", { delta: -1n }, 1n],
  ["-e.count", { count: 1n }, -1n],
  ["~e.count & 0xff", { count: 1n }, 0xfen],
  ["e.count as u8", { count: 0x1ffn }, 0xffn],
  ["i8(e.count)", { count: 0xffn }, -1n],
  ["u16(70000)", {}, 4464n],
  ["swap16(e.flags)", { flags: 0x1234 }, 0x3412n],
  ["swap32(e.flags)", { flags: 0x12345678 }, 0x78563412n],
  ["e.flags & 2 ? 'write' : 'read'", { flags: 2 }, "write"],
  ["e.flags & 2 ? 'write' : 'read'", { flags: 1 }, "read"],
  ["e.flags === 1 ? 'one' : e.flags === 2 ? 'two' : 'many'", { flags: 2 }, "two"],
  ["e.flags === 1 ? 10 : e.pid", { flags: 0, pid: -3 }, -3n],
  // Which of the two it is, as JavaScript has it; a bool only of bools.
  ["e.flags && e.pid", { flags: 1, pid: 5 }, 5n],
  ["e.flags && e.pid", { flags: 0, pid: 5 }, 0n],
  ["e.flags > 0 && e.pid > 0", { flags: 1, pid: 5 }, true],
  ["e.flags || 7", { flags: 0 }, 7n],
  ["e.flags || (e.pid ? e.pid : e.delta)", { flags: 3 }, 3n],
  ["e.flags || (e.pid ? e.pid : e.delta)", { flags: 0, pid: 0, delta: -4n }, -4n],
  ["e.comm || 'nobody'", { comm: "" }, "nobody"],
  ["e.comm || 'nobody'", { comm: "zsh" }, "zsh"],
  ["!e.flags", { flags: 0 }, true],
  ["e.comm", { comm: "bash" }, "bash"],
  ["e.comm === 'bash'", { comm: "bash" }, true],
  ["e.comm === 'bash'", { comm: "bashful" }, false],
  ["e.comm !== 'bash'", { comm: "zsh" }, true],
  ["e.comm === 'fifteen letters'", { comm: "fifteen letters" }, true],
  ["e.comm.startsWith('ba')", { comm: "bash" }, true],
  ["e.comm.startsWith('bat')", { comm: "bash" }, false],
  ["comm() === 'worker'", {}, true],
  ["e.comm === comm()", { comm: "worker" }, true],
  ["e.path", { path: "/etc/passwd" }, "/etc/passwd"],
  ["kstr(e.path, 5)", { path: "/etc/passwd" }, "/etc"],
  ["e.path === '/etc/passwd'", { path: "/etc/passwd" }, true],
  ["e.path.startsWith('/etc/')", { path: "/etc/passwd" }, true],
  ["'a' + '-' + 2", {}, "a-2"],
  ["pid()", {}, 11n],
  ["tid()", {}, 22n],
  ["uid() + gid()", {}, 1100n],
  ["cpu()", {}, 3n],
  ["now()", {}, 1000n],
  ["comm()", {}, "worker"],
  ["Math.min(e.flags, 10)", { flags: 3 }, 3n],
  ["Math.max(e.pid, 10)", { pid: -3 }, 10n],
  ["e?.flags", { flags: 4 }, 4n],
];

test.each(cases)("%s of %o is %o", async (expression, fields, expected) => {
  expect(await evaluate(expression, fields)).toEqual(expected);
});

const captured: readonly [string, string, Fields, unknown][] = [
  ["const limit = 10;", "e.flags > limit", { flags: 11 }, true],
  ["const Mode = { read: 1, write: 2 } as const;", "e.flags === Mode.write", { flags: 2 }, true],
  ["const names = ['zero', 'one', 'two'];", "names[e.flags]", { flags: 2 }, "two"],
  ["const names = ['zero', 'one', 'two'];", "names[e.flags]", { flags: 3 }, ""],
  ["const names = ['zero', 'one'];", "names[e.flags] ?? 'none'", { flags: 1 }, "one"],
  ["const names = ['zero', 'one'];", "names[e.flags] ?? 'none'", { flags: 2 }, "none"],
  ["const names = ['zero', 'one'];", "e.pid ? names[e.flags] : 'other'", { pid: 1, flags: 2 }, ""],
  ["const limits = [3, -4];", "limits[e.flags] ?? 7", { flags: 1 }, -4n],
  ["const limits = [3, -4];", "limits[e.flags] ?? 7", { flags: 2 }, 7n],
  ["const limits = [3, -4];", "limits[e.flags] + 1", { flags: 2 }, 1n],
  [
    "const swap = (a: u64, b: u64) => { const [x, y] = [b, a]; return x * 10 + y; };",
    "swap(1, e.flags)",
    { flags: 2 },
    21n,
  ],
  ["const squares = [0, 1, 4, 9];", "squares[e.flags]", { flags: 3 }, 9n],
  ["let n = 1; n = 5;", "n", {}, 5n],
  ["const twice = (x: u64) => x * 2;", "twice(e.flags) + twice(1)", { flags: 4 }, 10n],
  ["const low = (x: u8) => x;", "low(e.flags)", { flags: 0x1ff }, 0xffn],
  [
    "function clamp(x: u32): u32 { if (x < 3) return 3; if (x > 9) { return 9; } return x; }",
    "clamp(e.flags) + clamp(1) * 100",
    { flags: 12 },
    309n,
  ],
  [
    "function kind(x: u32) { if (x & 1) return 'odd'; return 'even'; }",
    "kind(e.flags)",
    { flags: 3 },
    "odd",
  ],
  [
    "function first(x: u32) { for (let i = 0; i < 20; i++) { if (x >> i & 1) return i; } return 99; }",
    "first(e.flags) + first(0) * 1000",
    { flags: 8 },
    99_003n,
  ],
  [
    "function sumTo(n: u8) { let sum = 0; for (let i = 1; i <= n; i++) sum += i; return sum; }",
    "sumTo(e.small)",
    { small: 10 },
    55n,
  ],
  [
    "function down(n: u8) { let sum = 0; for (let i = 10; i > 0; i -= 3) { if (i === 4) continue; sum = sum * 100 + i; } return sum; }",
    "down(1)",
    {},
    100_701n,
  ],
  [
    "const list = [3, 5, 7]; function has(x: u32) { for (const one of list) { if (one === x) return true; } return false; }",
    "has(e.flags)",
    { flags: 5 },
    true,
  ],
  [
    "function total() { let sum = 0; for (const i of range(2, 12, 4)) sum += i; return sum; }",
    "total()",
    {},
    18n,
  ],
  [
    "function name(x: u32) { switch (x) { case 1: case 2: return 'few'; case 3: return 'three'; default: return 'many'; } }",
    "name(e.flags)",
    { flags: 2 },
    "few",
  ],
  [
    "function of(x: cstr) { switch (x) { case 'sh': case 'bash': return 1; case 'node': { return 2; } default: return 3; } }",
    "of(e.comm) * 10 + of(comm())",
    { comm: "bash" },
    13n,
  ],
  [
    "function sum(n: u32) { let sum = 0; for (const x of [1, 2, 3]) { switch (x) { case 2: break; default: sum += x; } } return sum; }",
    "sum(e.flags)",
    { flags: 0 },
    4n,
  ],
  [
    "const seen = hash<u32, u64>();",
    "(seen.get(e.flags) || 5) * 10 + (e.small || (seen.get(e.flags) ?? 7))",
    { flags: 1 },
    57n,
  ],
  [
    "const seen = hash<u32, u64>(); const set = () => { seen.set(1, 3); return 0; };",
    "set() + (seen.get(1) === 3 ? 1 : 0) + (seen.get(2) === 0 ? 10 : 0) + (3 !== seen.get(2) ? 100 : 0)",
    {},
    101n,
  ],
  [
    "const make = (k: number) => (x: u32) => x * k; const triple = make(3);",
    "triple(e.flags)",
    { flags: 5 },
    15n,
  ],
];

test.each(captured)("%s %s of %o is %o", async (before, expression, fields, expected) => {
  expect(await evaluate(expression, fields, before)).toEqual(expected);
});
