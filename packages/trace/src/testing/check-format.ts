/**
 * What every format must do, in one call from its test file:
 *
 *     checkFormat(format, { fixtures: new URL("./fixtures/", import.meta.url), keepWhat });
 *
 * 1. Golden files: each fixture's events, line by line, equal `<fixture>.events.txt` beside it (`npm test -- -u` updates).
 * 2. Round trip: what is written and read back equals what the format says it keeps.
 * 3. Any bytes: random, cut short and bit-flipped input ends in a FormatError or in problems, and memory stays bounded.
 * 4. Any cuts: pushes of 1, 7 and 4096 bytes give the same events as the whole.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Format, FormatError } from "../formats/format.ts";
import { TraceBuilder } from "../model/builder.ts";
import type { TraceSink } from "../model/sink.ts";
import type { Trace } from "../model/trace.ts";
import { type AnyTrace, type AnyTraceOptions, anyTrace } from "./any-trace.ts";
import { type DumpOptions, dumpEvents } from "./dump.ts";
import { play } from "./play.ts";

export interface FormatChecks {
  /** Folder of golden files; without it, or when it is empty, there are none. */
  readonly fixtures?: URL;
  /** Says in code what the format cannot hold: a filter in front of the sink that the round trip is compared with. */
  readonly keepWhat?: (sink: TraceSink) => TraceSink;
  /** Which calls to try, when leaving some out by `keepWhat` would leave nothing of most traces. */
  readonly calls?: AnyTraceOptions;
  /** Parts of the dump that the round trip does not compare (e.g. problems that the reader adds). */
  readonly without?: DumpOptions["without"];
  /** A last touch on both dumps, for what neither filter nor parts can say. */
  readonly normalize?: (dump: string) => string;
  /** Default 100. */
  readonly runs?: number;
}

/** Growth of the heap and of array buffers allowed while reading one damaged input. */
const MEMORY_LIMIT_BYTES = 64 * 1024 * 1024;
const CUTS = [1, 7, 4096];

export function checkFormat(format: Format, checks: FormatChecks = {}): void {
  const runs = checks.runs ?? 100;
  const traces = anyTrace(checks.calls);
  const fixtures = checks.fixtures === undefined ? [] : fixturesIn(checks.fixtures);

  if (fixtures.length > 0 && format.stream !== undefined)
    describe(`${format.name} fixtures`, () => {
      test.each(fixtures)("$name", async ({ path }) => {
        const bytes = fileBytes(path);
        const whole = dumpEvents(await readBytes(format, bytes));
        await expect(whole).toMatchFileSnapshot(`${path}.events.txt`);
        for (const size of CUTS)
          expect(
            dumpEvents(await readBytes(format, bytes, size)),
            `pushed ${size} bytes at a time`,
          ).toBe(whole);
      });
      test.each(fixtures)("$name cut short and damaged", async ({ path }) => {
        const bytes = fileBytes(path);
        await fc.assert(
          fc.asyncProperty(damage(bytes.length), (how) => survives(format, damaged(bytes, how))),
          { numRuns: runs },
        );
      });
    });

  describe(format.name, () => {
    if (format.stream !== undefined)
      test("random bytes give a FormatError or problems", () =>
        fc.assert(
          fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), (bytes) => survives(format, bytes)),
          { numRuns: runs },
        ));
    if (format.stream === undefined || format.writer === undefined) return;

    test("what is written and read back is what the format keeps", () =>
      fc.assert(
        fc.asyncProperty(traces, async (calls) => {
          const back = await readBytes(format, await writeBytes(format, calls));
          const kept = new TraceBuilder();
          const sink = checks.keepWhat === undefined ? kept : checks.keepWhat(kept);
          play(calls, sink);
          sink.close();
          const dump = (trace: Trace) =>
            (checks.normalize ?? ((text) => text))(
              dumpEvents(trace, { without: checks.without ?? [] }),
            );
          expect(dump(back)).toBe(dump(kept.trace));
        }),
        { numRuns: runs },
      ));

    test("written files read the same however they are cut", () =>
      fc.assert(
        fc.asyncProperty(traces, async (calls) => {
          const bytes = await writeBytes(format, calls);
          const whole = dumpEvents(await readBytes(format, bytes));
          for (const size of CUTS)
            expect(dumpEvents(await readBytes(format, bytes, size))).toBe(whole);
        }),
        { numRuns: Math.ceil(runs / 2) },
      ));

    test("written files, cut short and damaged, give a FormatError or problems", () =>
      fc.assert(
        fc.asyncProperty(traces, damage(1 << 16), async (calls, how) =>
          survives(format, damaged(await writeBytes(format, calls), how)),
        ),
        { numRuns: runs },
      ));
  });
}

/** Reads a whole input, pushed `size` bytes at a time (default: at once), and builds its trace. */
export async function readBytes(
  format: Format,
  bytes: Uint8Array,
  size = Infinity,
): Promise<Trace> {
  const builder = new TraceBuilder();
  const reader = await format.stream!(builder);
  for (let from = 0; from < bytes.length; from += size) {
    const chunk = bytes.slice(from, Math.min(bytes.length, from + size));
    reader.push(chunk);
    // A pushed chunk is the caller's again: what the reader still needs of it, it has copied.
    chunk.fill(0xa5);
  }
  reader.end();
  builder.close();
  return builder.trace;
}

/** The file that a trace's calls make. */
export async function writeBytes(format: Format, calls: AnyTrace): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const writer = await format.writer!((bytes) => {
    pieces.push(bytes.slice());
  });
  play(calls, writer);
  writer.close();
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

async function survives(format: Format, bytes: Uint8Array): Promise<void> {
  const before = memoryBytes();
  try {
    dumpEvents(await readBytes(format, bytes));
  } catch (error) {
    expect(error, "an input that can't be read must give a FormatError").toBeInstanceOf(
      FormatError,
    );
  }
  expect(memoryBytes() - before, "memory taken by a damaged input").toBeLessThan(
    MEMORY_LIMIT_BYTES,
  );
}

function memoryBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

interface Damage {
  readonly length: number;
  readonly flips: readonly (readonly [at: number, bit: number])[];
}

function damage(size: number): fc.Arbitrary<Damage> {
  return fc.record({
    length: fc.oneof(fc.constant(size), fc.nat(size)),
    flips: fc.array(fc.tuple(fc.nat(Math.max(0, size - 1)), fc.nat(7)), { maxLength: 8 }),
  });
}

/** Damage drawn for another size is scaled by wrapping around. */
function damaged(bytes: Uint8Array, { length, flips }: Damage): Uint8Array {
  const copy = bytes.slice(0, length > bytes.length ? length % (bytes.length + 1) : length);
  for (const [at, bit] of flips) if (copy.length > 0) copy[at % copy.length]! ^= 1 << bit;
  return copy;
}

/** Not a Buffer, whose `slice` shares memory. */
function fileBytes(path: string): Uint8Array {
  return new Uint8Array(readFileSync(path));
}

function fixturesIn(folder: URL): { readonly name: string; readonly path: string }[] {
  const path = fileURLToPath(folder);
  if (!existsSync(path)) return [];
  return readdirSync(path)
    .filter((file) => !file.endsWith(".events.txt") && !file.endsWith(".md"))
    .sort()
    .map((name) => ({ name, path: `${path}${path.endsWith("/") ? "" : "/"}${name}` }));
}
