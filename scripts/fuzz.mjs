/**
 * npm run fuzz [-- PROGRAMS] [-- --seconds N] [-- --from SEED]: random probe programs, compiled, loaded and run in this kernel
 * with BPF_PROG_TEST_RUN; the interpreter of the IR must agree with all that load. Default: 100,000 programs.
 * Ends with status 1 when any differ, or more than 5 % are refused.
 */
import { setImmediate } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Fuzzer } from "../packages/kymo/src/bpf/codegen/testing/fuzz.ts";
import { loadLibc } from "../packages/kymo/src/linux/libc.ts";

const refusedMax = 0.05;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string" }, from: { type: "string", default: "1" } },
});
const until = values.seconds === undefined ? undefined : Date.now() + Number(values.seconds) * 1000;
const count =
  positionals[0] === undefined
    ? until === undefined
      ? 100_000
      : Infinity
    : Number(positionals[0]);
const from = Number(values.from);

if (process.platform !== "linux" || process.getuid?.() !== 0) {
  console.log("SKIP fuzz: needs root on Linux");
  process.exit(0);
}

const fuzzer = new Fuzzer(await loadLibc());
const refusals = new Map();
let [done, agreed, differ, refused, instructions, unplaced] = [0, 0, 0, 0, 0, 0];
for (; done < count && (until === undefined || Date.now() < until); done++) {
  // Ctrl+C gets its turn.
  if (done % 100 === 0) await setImmediate();
  const seed = from + done;
  const outcome = fuzzer.try(seed);
  if (outcome.kind === "agree") {
    agreed++;
    instructions += outcome.instructions;
  } else if (outcome.kind === "differ") {
    differ++;
    console.log(`seed ${seed}: ${outcome.what}`);
  } else {
    refused++;
    if (outcome.error.line === undefined) unplaced++;
    // Numbers differ from program to program, the reason doesn't.
    const reason = outcome.error.message.replace(/\d+/g, "N");
    const known = refusals.get(reason);
    if (known === undefined) refusals.set(reason, { count: 1, first: outcome.error.toString() });
    else known.count++;
  }
  if (done % 10_000 === 9_999)
    console.log(`${done + 1} programs, ${refused} refused, ${differ} differ`);
}
console.log(
  `${done} programs from seed ${from}: ${agreed} agree (${Math.round(instructions / agreed)} instructions on average), ` +
    `${differ} differ, ${refused} refused (${((100 * refused) / done).toFixed(2)} %), ${unplaced} of these without a place`,
);
for (const [, { count, first }] of [...refusals].sort(([, a], [, b]) => b.count - a.count))
  console.log(`${String(count).padStart(6)}  ${first}`);
process.exit(differ > 0 || refused > refusedMax * done ? 1 : 0);
