/**
 * Instructions of the same probes by kymo and by clang -O2: how many (8-byte units), and the median of the ratios.
 * First kymo's shipped probes beside the same in C (root and BTF needed), then handlers in kymo's IR beside theirs.
 *
 *     npm run bench probe-instructions
 *
 * Needs clang and libbpf's headers (Debian: clang libbpf-dev). clang compiles for the instruction set's versions 2 and 3;
 * the shorter one counts.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { shipped } from "./_probe-shipped.mjs";
import { twins } from "./_probe-twins.mjs";

// Not exported by the package: only the benchmark asks for it by itself.
const source = (file) => new URL(`../packages/kymo/src/bpf/${file}`, import.meta.url).href;
const { register } = await import("tsx/esm/api");
register();
const { compile } = await import(source("codegen/index.ts"));
const { disassemble } = await import(source("codegen/disassemble.ts"));

const goal = 1.3;
const wanted = process.argv[2];

const version = spawnSync("clang", ["--version"], { encoding: "utf8" });
if (version.error !== undefined || version.status !== 0) {
  console.log("SKIP probe-instructions: clang is not installed (Debian: clang libbpf-dev)");
  process.exit(0);
}

const dir = mkdtempSync(path.join(tmpdir(), "kymo-twins-"));
try {
  console.log(version.stdout.split("\n")[0]);
  const rows = [...compared(await shippedHandlers()), ...compared(twins)];
  const ratios = rows.map(({ ratio }) => ratio).sort((a, b) => a - b);
  const median = ratios[ratios.length >> 1];
  console.log(`\nmedian ${median.toFixed(2)}, worst ${ratios.at(-1).toFixed(2)}; goal ≤ ${goal}`);
  process.exitCode = median <= goal ? 0 : 1;
} finally {
  rmSync(dir, { recursive: true, force: true });
}

/** Prints a row for each. */
function compared(pairs) {
  const rows = [];
  if (pairs.length > 0) console.log("\n  kymo  clang  ratio");
  for (const { name, c, handler } of pairs) {
    if (wanted !== undefined && !name.includes(wanted)) continue;
    const byClang = Math.min(...["v2", "v3"].map((cpu) => compileC(c, cpu)));
    const program = compile(handler);
    if (wanted !== undefined) console.log(disassemble(program, handler));
    const byKymo = program.instructions.length / 8;
    const ratio = byKymo / byClang;
    rows.push({ ratio });
    const columns = [String(byKymo).padStart(6), String(byClang).padStart(6), ratio.toFixed(2).padStart(6)];
    console.log(`${columns.join(" ")}  ${name}`);
  }
  return rows;
}

/** The shipped probes through kymo's front end, for this kernel. */
async function shippedHandlers() {
  if (process.getuid?.() !== 0) {
    console.log("SKIP shipped probes: needs root, to ask the kernel for its types");
    return [];
  }
  const [{ loadProbes }, { openKernel }, { loadLibc }] = await Promise.all([
    import(source("lang/index.ts")),
    import(source("kernel/index.ts")),
    import(source("../linux/libc.ts")),
  ]);
  const kernel = await openKernel(await loadLibc());
  const sets = new Map();
  for (const { file } of shipped) {
    if (sets.has(file)) continue;
    const at = fileURLToPath(new URL(`../packages/probes/src/${file}`, import.meta.url));
    sets.set(file, await loadProbes([at], kernel, { argv: [] }));
  }
  return shipped.map(({ file, label, c }) => {
    const probe = sets.get(file).probes.find((probe) => probe.label === label);
    if (probe === undefined) throw new Error(`${file} has no ${label} any more: its twin in C is stale`);
    return { name: `${file} ${label}`, c, handler: probe.handler };
  });
}

/** Instructions of the section that holds the program. */
function compileC(text, cpu) {
  const [from, to] = [path.join(dir, "probe.c"), path.join(dir, "probe.o")];
  writeFileSync(from, text);
  const flags = ["-O2", "-g", "-target", "bpf", `-mcpu=${cpu}`, "-w"];
  const headers = spawnSync("cc", ["-print-multiarch"], { encoding: "utf8" }).stdout?.trim();
  if (headers) flags.push(`-I/usr/include/${headers}`);
  const run = spawnSync("clang", [...flags, "-c", from, "-o", to], { encoding: "utf8" });
  if (run.status !== 0) {
    console.log(`SKIP probe-instructions: clang can't compile for BPF here:\n${run.stderr}`);
    process.exit(0);
  }
  return programBytes(readFileSync(to)) / 8;
}

/** Size of the executable sections of an ELF64 object. */
function programBytes(object) {
  const [table, size, count] = [
    Number(object.readBigUInt64LE(0x28)),
    object.readUInt16LE(0x3a),
    object.readUInt16LE(0x3c),
  ];
  const executable = 4n;
  let bytes = 0;
  for (let i = 0; i < count; i++) {
    const at = table + i * size;
    if ((object.readBigUInt64LE(at + 8) & executable) !== 0n)
      bytes += Number(object.readBigUInt64LE(at + 0x20));
  }
  return bytes;
}
