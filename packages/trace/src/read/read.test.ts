import { execFileSync } from "node:child_process";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Format, FormatError } from "../formats/format.ts";
import type { Problem, TraceSink } from "../model/sink.ts";
import { describeHead, detectFormat } from "./detect.ts";
import { type ReadOptions, type ReadResult, readTrace } from "./read.ts";

/** A format of lines "LINE …": what its reader saw is compared byte by byte. */
function lineFormat(seen: Uint8Array[], name = "lines", score = 50): Format {
  return {
    name,
    title: `${name} for tests`,
    extensions: [`.${name}`],
    spec: "here",
    detect: (head) => (String.fromCharCode(...head.subarray(0, 4)) === "LINE" ? score : 0),
    stream: async () => ({
      push: (chunk) => void seen.push(chunk.slice()),
      end: () => {},
    }),
  };
}

interface Outcome {
  readonly result: ReadResult;
  readonly bytes: Buffer;
  readonly problems: readonly Problem[];
  readonly closed: number;
}
/** Reads `input` cut into pieces of `cut` bytes; each piece is overwritten after use, as the contract allows. */
async function read(input: Uint8Array, cut = 65536, options: ReadOptions = {}): Promise<Outcome> {
  const seen: Uint8Array[] = [];
  const problems: Problem[] = [];
  let closed = 0;
  const sink = {
    problem: (problem: Problem) => void problems.push(problem),
    close: () => void closed++,
  } as unknown as TraceSink;
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < input.length; at += cut) {
      const piece = new Uint8Array(input.subarray(at, at + cut));
      yield piece;
      piece.fill(0xee);
    }
  }
  const result = await readTrace(pieces(), "t.lines", sink, {
    formats: [lineFormat(seen)],
    ...options,
  });
  return { result, bytes: Buffer.concat(seen), problems, closed };
}

const text = Buffer.from(
  Array.from({ length: 20_000 }, (_, i) => `LINE event ${i} name_${(i * 7919) % 97}\n`).join(""),
);

describe("any stream", () => {
  test.each([1, 7, 4096, 1 << 20])("gives the reader every byte, in pieces of %i", async (cut) => {
    const input = cut === 1 ? text.subarray(0, 70_000) : text;
    const { result, bytes, problems, closed } = await read(input, cut);
    expect(bytes.equals(input)).toBe(true);
    expect(problems).toEqual([]);
    expect(closed).toBe(1);
    expect(result).toEqual({
      format: "lines",
      compression: "none",
      bytesRead: input.length,
      bytesExpanded: input.length,
    });
  });

  test("reads a ReadableStream, also one that cannot be iterated", async () => {
    const stream = new Blob([text]).stream() as ReadableStream<Uint8Array>;
    const bare = { getReader: () => stream.getReader() } as ReadableStream<Uint8Array>;
    const seen: Uint8Array[] = [];
    const sink = { problem: () => {}, close: () => {} } as unknown as TraceSink;
    await readTrace(bare, "t", sink, { formats: [lineFormat(seen)] });
    expect(Buffer.concat(seen).equals(text)).toBe(true);
  });

  test("waits for the output between pushes", async () => {
    const waits: number[] = [];
    await read(text, 65536, { drain: () => void waits.push(1) });
    expect(waits.length).toBeGreaterThan(text.length / 262_144);
  });

  test("stops when told to, with the reason given", async () => {
    const stop = new AbortController();
    const reason = new Error("closed by the user");
    const reading = read(text, 4096, { signal: stop.signal, drain: () => stop.abort(reason) });
    await expect(reading).rejects.toBe(reason);
  });

  test("stops while it waits for input that never comes", async () => {
    const stop = new AbortController();
    async function* stuck(): AsyncGenerator<Uint8Array> {
      yield text.subarray(0, 100_000);
      setTimeout(() => stop.abort(new Error("enough")), 5);
      await new Promise(() => {});
    }
    const sink = { problem: () => {}, close: () => {} } as unknown as TraceSink;
    const options = { formats: [lineFormat([])], signal: stop.signal };
    await expect(readTrace(stuck(), "t", sink, options)).rejects.toThrow("enough");
  });

  test("lets timers run while it reads", async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const slow: Format = {
      ...lineFormat([]),
      stream: async () => ({
        push: () => {
          for (const until = performance.now() + 5; performance.now() < until; );
        },
        end: () => {},
      }),
    };
    await read(text, 16_384, { formats: [slow] });
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(3);
  });
});

describe("what is no trace", () => {
  test("an empty file says so", async () => {
    await expect(read(new Uint8Array(0))).rejects.toThrow("t.lines: the file is empty");
  });
  test("an unknown format names what it found and what is read", async () => {
    await expect(read(Buffer.from("hello there"))).rejects.toThrow(
      'no known trace format: it starts with the text "hello there". Read are lines for tests',
    );
    await expect(read(Uint8Array.of(0, 1, 2, 255))).rejects.toThrow("the bytes 00 01 02 ff");
    expect(describeHead(Buffer.from("PK\x03\x04xxxx"))).toContain("zip archive");
    await expect(read(gzipSync(gzipSync(text)))).rejects.toThrow("gzip within");
  });
  test("random bytes are refused in words, never otherwise", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 0, maxLength: 3000 }),
        fc.constantFrom([], [0x1f, 0x8b, 8, 0], [0x28, 0xb5, 0x2f, 0xfd], [0x50, 0x2a, 0x4d, 0x18]),
        async (bytes, magic) => {
          const input = Uint8Array.from([...magic, ...bytes]);
          await expect(read(input, 512)).rejects.toBeInstanceOf(FormatError);
        },
      ),
      { numRuns: 300 },
    );
  });
});

test("the surest format wins; the extension breaks ties only", () => {
  const sure = lineFormat([], "sure", 90);
  const same = lineFormat([], "same", 50);
  const lines = lineFormat([]);
  const head = Buffer.from("LINE");
  expect(detectFormat(head, "x.same", [lines, same])?.name).toBe("same");
  expect(detectFormat(head, "X.SAME.gz", [lines, same])?.name).toBe("same");
  expect(detectFormat(head, "x.same", [lines, same, sure])?.name).toBe("sure");
  expect(detectFormat(Buffer.from("none"), "x.same", [lines, same])).toBeUndefined();
});

describe("gzip", () => {
  const packed = gzipSync(text);
  test.each([1, 7, 4096, 1 << 20])("opens through, in pieces of %i", async (cut) => {
    const plain = cut < 100 ? text.subarray(0, 80_000) : text;
    const input = gzipSync(plain);
    const { result, bytes, problems } = await read(input, cut);
    expect(bytes.equals(plain)).toBe(true);
    expect(problems).toEqual([]);
    expect(result.compression).toBe("gzip");
    expect(result.bytesRead).toBe(input.length);
    expect(result.bytesExpanded).toBe(plain.length);
  });
  test("members one after the other are one stream", async () => {
    const half = 100_000;
    const members = Buffer.concat([
      gzipSync(text.subarray(0, half)),
      gzipSync(new Uint8Array(0)),
      gzipSync(text.subarray(half)),
    ]);
    for (const cut of [13, 1 << 20]) {
      const { bytes, problems } = await read(members, cut);
      expect(bytes.equals(text)).toBe(true);
      expect(problems).toEqual([]);
    }
  });
  test("bytes after the end are reported, and what came before is kept", async () => {
    const { bytes, problems } = await read(Buffer.concat([packed, Buffer.alloc(512)]));
    expect(bytes.equals(text)).toBe(true);
    expect(problems.map((problem) => problem.message)).toEqual([
      "bytes after the end of the gzip data were ignored",
    ]);
  });
  test("cut anywhere, what was there is read and the rest is a truncated problem", async () => {
    const small = gzipSync(text.subarray(0, 3000), { level: 1 });
    for (let length = 1; length < small.length - 8; length += 1) {
      const cut = small.subarray(0, length);
      const outcome = await read(cut, 64).catch((error: unknown) => error);
      if (outcome instanceof Error) {
        // Nothing had been expanded yet.
        expect(outcome).toBeInstanceOf(FormatError);
        continue;
      }
      const { bytes, problems } = outcome as Outcome;
      expect(text.subarray(0, bytes.length).equals(bytes)).toBe(true);
      expect(problems[0]?.kind).toBe("truncated");
    }
  });
  test("damaged in the middle, what came before is kept", async () => {
    const damaged = Buffer.from(packed);
    damaged.fill(0xff, packed.length >> 1, (packed.length >> 1) + 200);
    const { bytes, problems, closed } = await read(damaged, 4096);
    expect(bytes.length).toBeGreaterThan(10_000);
    expect(problems.length).toBe(1);
    expect(problems[0]?.kind).toMatch(/malformed|truncated/);
    expect(closed).toBe(1);
  });
  test("what expands 1000 times is refused early, and a limit can be given", async () => {
    const bomb = gzipSync(Buffer.concat([Buffer.from("LINE"), Buffer.alloc(100 * 2 ** 20, 0x20)]));
    await expect(read(bomb)).rejects.toThrow(/have grown to \d+ MiB .* made to fill the memory/);
    const { result } = await read(bomb, 65536, {
      maxExpansion: 2000,
      formats: [{ ...lineFormat([]), stream: async () => ({ push() {}, end() {} }) }],
    });
    expect(result.bytesExpanded).toBe(100 * 2 ** 20 + 4);
    await expect(read(packed, 65536, { maxExpandedBytes: 100_000 })).rejects.toThrow(
      "expands to more than",
    );
  });
});

/** zstd frames of raw and run-length blocks: enough of an encoder for the framing. */
function zstdFrame(
  blocks: readonly (Uint8Array | { byte: number; times: number })[],
  options: { checksum?: boolean; window?: number } = {},
): Buffer {
  const parts: Buffer[] = [
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, options.checksum ? 4 : 0, options.window ?? 0x38]),
  ];
  blocks.forEach((block, i) => {
    const raw = block instanceof Uint8Array;
    const size = raw ? block.length : block.times;
    const header = (size << 3) | (raw ? 0 : 2) | (i === blocks.length - 1 ? 1 : 0);
    parts.push(Buffer.from([header & 255, (header >> 8) & 255, header >> 16]));
    parts.push(raw ? Buffer.from(block) : Buffer.from([block.byte]));
  });
  if (options.checksum) parts.push(Buffer.from([1, 2, 3, 4]));
  return Buffer.concat(parts);
}

describe("zstd", () => {
  const skippable = Buffer.concat([
    Buffer.from([0x53, 0x2a, 0x4d, 0x18, 5, 0, 0, 0]),
    Buffer.alloc(5),
  ]);
  const frames = Buffer.concat([
    skippable,
    zstdFrame([text.subarray(0, 40_000), text.subarray(40_000, 40_001)], { checksum: true }),
    zstdFrame([new Uint8Array(0)]),
    zstdFrame([text.subarray(40_001, 100_000)]),
    skippable,
  ]);
  test.each([1, 7, 4096, 1 << 20])("frames open through, in pieces of %i", async (cut) => {
    const { result, bytes, problems } = await read(frames, cut);
    expect(bytes.equals(text.subarray(0, 100_000))).toBe(true);
    expect(problems).toEqual([]);
    expect(result.compression).toBe("zstd");
  });
  test("reads what the zstd tool writes", async ({ skip }) => {
    let packed: Buffer;
    try {
      packed = execFileSync("zstd", ["-q", "-c", "-9"], { input: text });
    } catch {
      skip("the zstd tool is not installed");
      return;
    }
    for (const cut of [7, 65536]) {
      const { bytes, problems } = await read(packed, cut);
      expect(bytes.equals(text)).toBe(true);
      expect(problems).toEqual([]);
    }
    const cut = await read(packed.subarray(0, packed.length - 20));
    expect(cut.problems[0]?.kind).toBe("truncated");
  });
  test("cut anywhere, what was there is read and the rest is a truncated problem", async () => {
    const small = zstdFrame([text.subarray(0, 300), text.subarray(300, 500)], { checksum: true });
    for (let length = 4; length < small.length; length++) {
      const outcome = await read(small.subarray(0, length), 64).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toBeInstanceOf(FormatError);
      else {
        const { bytes, problems } = outcome as Outcome;
        expect(text.subarray(0, bytes.length).equals(bytes)).toBe(true);
        expect(problems[0]?.kind).toBe("truncated");
      }
    }
  });
  test("a window of gigabytes is refused before it is allocated", async () => {
    const frame = zstdFrame([text.subarray(0, 100)], { window: 0xf8 });
    await expect(read(frame)).rejects.toThrow(/a window of 2097152 MiB/);
    // Single segment: the claimed content size is the window.
    const claim = Buffer.from([
      0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0,
    ]);
    await expect(read(claim)).rejects.toThrow(/a window of 4096 MiB/);
  });
  test("what expands without end is refused", async () => {
    const run = { byte: 0x20, times: 128 * 1024 };
    const bomb = zstdFrame([text.subarray(0, 100), ...Array.from({ length: 2000 }, () => run)]);
    const formats = [{ ...lineFormat([]), stream: async () => ({ push() {}, end() {} }) }];
    await expect(read(bomb, 65536, { formats })).rejects.toThrow(/made to fill the memory/);
  });
});
