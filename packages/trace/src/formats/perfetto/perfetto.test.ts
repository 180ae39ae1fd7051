import { readFileSync } from "node:fs";
import fc from "fast-check";
import { test } from "vitest";
import { checkFormat } from "../../testing/check-format.ts";
import { FormatError } from "../format.ts";
import { format } from "./index.ts";

const fixtures = new URL("./fixtures/", import.meta.url);

checkFormat(format, { fixtures });

test("what can be read of a damaged file can be written again", async () => {
  const bytes = readFileSync(new URL("every-call.pftrace", fixtures));
  const flip = fc.tuple(fc.nat(bytes.length - 1), fc.nat(7));
  await fc.assert(
    fc.asyncProperty(fc.array(flip, { minLength: 1, maxLength: 12 }), async (flips) => {
      const damaged = new Uint8Array(bytes);
      for (const [at, bit] of flips) damaged[at]! ^= 1 << bit;
      const writer = await format.writer!(() => {});
      const reader = await format.stream!(writer);
      try {
        reader.push(damaged);
        reader.end();
        writer.close();
      } catch (error) {
        if (!(error instanceof FormatError)) throw error;
      }
    }),
    { numRuns: 300 },
  );
});
