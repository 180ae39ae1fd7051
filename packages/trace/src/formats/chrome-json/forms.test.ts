/** Every form that people write holds the same events; every time is exact; what is too long is passed over, not kept. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TraceBuilder } from "../../model/builder.ts";
import type { Trace } from "../../model/trace.ts";
import { readBytes } from "../../testing/check-format.ts";
import { dumpEvents } from "../../testing/dump.ts";
import { format } from "./index.ts";
import { MAX_EVENT_BYTES } from "./stream.ts";

const read = (text: string | Uint8Array, cut?: number): Promise<Trace> =>
  readBytes(format, typeof text === "string" ? Buffer.from(text) : text, cut);
const messages = (trace: Trace): string[] => trace.problems.map((problem) => problem.message);

const events = [
  '{"ph":"M","name":"thread_name","pid":1,"tid":2,"args":{"name":"main"}}',
  '{"ph":"B","name":"outer","cat":"c","pid":1,"tid":2,"ts":10}',
  '{"ph":"X","name":"inner","cat":"c","pid":1,"tid":2,"ts":11.5,"dur":2,"args":{"a":{"b":[1,"]}"]}}}',
  '{"ph":"E","pid":1,"tid":2,"ts":20}',
];
const expected = async (): Promise<string> => dumpEvents(await read(`[${events.join(",")}]`));

describe("the same events in every form", () => {
  test.each([
    ["array, one a line", `[\n${events.join(",\n")}\n]\n`],
    ["no closing bracket", `[\n${events.join(",\n")}`],
    ["trailing comma", `[${events.join(",")},`],
    ["trailing comma and bracket", `[${events.join(",")},]`],
    ["empty places", `[,,${events.join(",,\n,")},,]`],
    ["no commas", `[${events.join("\n")}]`],
    ["no opening bracket", `${events.join(",\n")}]`],
    ["one object a line, nothing else", events.join("\n")],
    ["one object a line, commas", events.join(",\n")],
    ["object", `{"traceEvents":[${events.join(",")}]}`],
    [
      "object with members around",
      `{"displayTimeUnit":"ms","traceEvents":[${events.join(",")}],"x":1}`,
    ],
    ["object, no comma before a member", `{"traceEvents":[${events.join(",")}]"x":1}`],
    ["byte order mark", `\ufeff[${events.join(",")}]`],
    ["byte order mark before an object", `\ufeff{"traceEvents":[${events.join(",")}]}`],
    ["two files in one", `[${events.slice(0, 2).join(",")}]\n[${events.slice(2).join(",")}]`],
    ["blanks everywhere", ` \t\r\n[ ${events.join(" , \n").replace(/":/g, '" : ')} ] `],
    [
      "numbers as text",
      `[${events.join(",").replace(/"(pid|tid|ts|dur)":([\d.]+)/g, '"$1":"$2"')}]`,
    ],
    [
      "members in another order",
      `[${events
        .map(
          (each) =>
            `{${each
              .slice(1, -1)
              .split(/,(?="(?:ph|name|cat|pid|tid|ts|dur|args)")/)
              .reverse()
              .join(",")}}`,
        )
        .join(",")}]`,
    ],
  ])("%s", async (_, text) => {
    const trace = await read(text);
    const without = (dump: string): string => dump.replace(/^metadata x = .*\n/m, "");
    expect(without(dumpEvents(trace))).toBe(await expected());
    expect(trace.problems).toEqual([]);
    expect(dumpEvents(await read(text, 1))).toBe(dumpEvents(trace));
  });

  test("an object that is not closed is read, and called cut short", async () => {
    const trace = await read(`{"traceEvents":[${events.join(",")}`);
    expect(trace.problems.map(({ kind }) => kind)).toEqual(["truncated"]);
    expect(dumpEvents(trace, { without: ["problem"] })).toBe(await expected());
  });

  test("an event cut in its middle is left out, the rest is read", async () => {
    const whole = `[${events.join(",")}`;
    for (let length = whole.length - 33; length < whole.length; length++) {
      const trace = await read(whole.slice(0, length));
      expect(trace.problems.map(({ kind }) => kind)).toEqual(["truncated"]);
    }
  });

  test("a beginner's snippet", async () => {
    const line =
      '{"name": "x", "ts": 1, "dur": 2, "cat": "hi", "ph": "X", "pid": 1, "tid": 1, "args": {}}\n';
    const trace = await read(line);
    expect(dumpEvents(trace)).toContain('0 slice thread 1 "": +2000 "x" [hi]');
    expect(trace.problems).toEqual([]);
  });

  test("empty traces are traces", async () => {
    for (const text of ["[]", "{}", '{"traceEvents":[]}', "[\n"])
      expect((await read(text)).length).toBe(0);
  });

  test("metadata before the events, longer than the look ahead", async () => {
    const facts = `{"metadata":{"long":"${"x".repeat(200_000)}"},"traceEvents":[${events.join(",")}]}`;
    for (const cut of [undefined, 4096]) {
      const trace = await read(facts, cut);
      expect(trace.metadata.get("long")?.length).toBe(200_000);
      expect(dumpEvents(trace, { without: ["metadata"] })).toBe(await expected());
    }
  });
});

describe("times", () => {
  /** Ns of an absolute µs text, by the trace that has it as its second event. */
  async function exact(texts: readonly string[]): Promise<bigint[]> {
    const lines = texts.map((ts, i) => `{"ph":"i","name":"e${i}","pid":1,"tid":${i},"ts":${ts}}`);
    const trace = await read(`[${lines.join("\n")}`);
    return texts.map((_, i) => {
      const track = trace.tracks.findIndex(({ kind, tid }) => kind === "thread" && tid === i);
      const row = trace.rows.find((each) => each.track === track && each.kind === "instant")!;
      return trace.clock.originNs + BigInt(row.chunks[0]!.ts[0]!);
    });
  }
  const ns = fc.bigInt({ min: 0n, max: 2n ** 33n });

  test("fractional µs are exact to the ns, at any size of µs", () =>
    fc.assert(
      fc.asyncProperty(
        fc.constantFrom(0n, 10n ** 12n, 17n * 10n ** 17n, 8n * 10n ** 18n),
        ns,
        ns,
        async (base, a, b) => {
          const times = [base + a, base + b];
          const text = (t: bigint): string => `${t / 1000n}.${String(t % 1000n).padStart(3, "0")}`;
          expect(await exact(times.map(text))).toEqual(times);
        },
      ),
    ));

  test.each([
    ["5", 5000n],
    ["5.", 5000n],
    ["5.1", 5100n],
    ["5.0009", 5001n],
    ["5.0004999", 5000n],
    ["5.9999", 6000n],
    ["-5.25", -5250n],
    ["1e3", 1_000_000n],
    ["1.5E2", 150_000n],
    ['"7.125"', 7125n],
    ["0.001", 1n],
  ])("%s µs", async (text, value) => {
    expect(await exact(["0", text])).toEqual([0n, value]);
  });

  test("durations are exact too, and open without", async () => {
    const trace = await read(
      '[{"ph":"X","name":"a","pid":1,"tid":1,"ts":1700000000000000.001,"dur":0.007}',
    );
    expect(dumpEvents(trace)).toContain('1 slice thread 1 "": +7 "a"');
  });

  test("events more than 104 days apart are kept, with a word", async () => {
    const trace = await read(
      '[{"ph":"i","name":"a","pid":1,"tid":1,"ts":0},{"ph":"i","name":"b","pid":1,"tid":1,"ts":1700000000000000}]',
    );
    expect(trace.length).toBe(2);
    expect(trace.problems.map(({ kind }) => kind)).toEqual(["clock"]);
  });
});

describe("limits", () => {
  const after = '{"ph":"i","name":"after","pid":1,"tid":1,"ts":5}';

  test("an event of more than 16 MiB is passed over, and what follows is read", async () => {
    const long = `{"ph":"i","name":"long","pid":1,"tid":1,"ts":1,"args":{"text":"${"a]}\\\\".repeat(MAX_EVENT_BYTES / 4)}"}}`;
    const trace = await read(`[${long},${after}]`, 1 << 18);
    expect(dumpEvents(trace)).toContain('"after"');
    expect(messages(trace)).toEqual([expect.stringContaining("longer than 16 MiB")]);
  });

  test("a member of more than 16 MiB beside the events is passed over", async () => {
    const long = `"x".repeat`;
    const text = `{"systemTraceEvents":"${"y\\\\".repeat(MAX_EVENT_BYTES / 2)}","long":"${long.length}","traceEvents":[${after}]}`;
    const trace = await read(text, 1 << 18);
    expect(dumpEvents(trace)).toContain('"after"');
    expect(trace.metadata.get("long")).toBe(String(long.length));
    expect(messages(trace)).toEqual([expect.stringContaining("longer than 16 MiB")]);
  });

  test("arguments nested without end are left out, the event stays", async () => {
    const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
    const trace = await read(
      `[{"ph":"i","name":"deep","pid":1,"tid":1,"ts":1,"args":{"a":${deep}}}]`,
    );
    expect(dumpEvents(trace)).toContain('instant thread 1 "": "deep"');
    expect(messages(trace)).toEqual([expect.stringContaining("nested too deep")]);
  });

  test("ten thousand async slices one after the other share a track", async () => {
    const lines = Array.from({ length: 10_000 }, (_, i) =>
      ["b", "e"].map(
        (ph, j) =>
          `{"ph":"${ph}","cat":"n","name":"get","id":"0x${i.toString(16)}","pid":1,"tid":1,"ts":${2 * i + j}}`,
      ),
    ).flat();
    const trace = await read(`[${lines.join(",\n")}]`);
    expect(trace.tracks.filter(({ kind }) => kind === "async").length).toBe(1);
    expect(trace.length).toBe(10_000);
  });

  test("a ring of stack frames ends", async () => {
    const text = `{"traceEvents":[{"ph":"P","name":"s","pid":1,"tid":1,"ts":1,"sf":"1"}],"stackFrames":{"1":{"name":"a","parent":"2"},"2":{"name":"b","parent":"1"}}}`;
    expect(dumpEvents(await read(text))).toContain('"b" > "a"');
  });
});

test("members of one event do not leak into the next", async () => {
  const rare =
    '"s":"g","bp":"e","scope":"x","id":"0x1","id2":{"local":1},"bind_id":7,"flow_in":true,"flow_out":true,"sf":3,"cname":"good","args":{"a":1}';
  const place = '"pid":1,"tid":1';
  const plain = [
    `{"ph":"i","name":"plain","ts":2,${place}}`,
    `{"ph":"f","name":"flow","cat":"c","id":9,"ts":2,${place}}`,
    `{"ph":"b","name":"async","cat":"c","id":9,"ts":2,${place}}`,
    `{"ph":"e","name":"async","cat":"c","id":9,"ts":3,${place}}`,
  ];
  const apart = dumpEvents(
    await read(`[{"ph":"X","name":"first","cat":"c","ts":0,"dur":9,${place}},${plain.join()}]`),
  );
  const after = dumpEvents(
    await read(
      `[{"ph":"X","name":"first","cat":"c","ts":0,"dur":9,${place},${rare}},${plain.map((each) => `{"ph":"M","name":"x",${rare}},${each}`).join()}]`,
    ),
  );
  const lines = (dump: string): string[] =>
    dump.split("\n").filter((line) => /plain|async|end/.test(line));
  expect(lines(after).filter((line) => !line.includes("step 7"))).toEqual(lines(apart));
});

test("written files are JSON that any viewer can parse", async () => {
  const trace = new TraceBuilder();
  const reader = await format.stream!(trace);
  reader.push(Buffer.from(`[${events.join(",")}]`));
  reader.end();
  const pieces: Buffer[] = [];
  const writer = await format.writer!((bytes) => void pieces.push(Buffer.from(bytes)));
  const again = await format.stream!(writer);
  again.push(Buffer.from(`[${events.join(",")}]`));
  again.end();
  writer.close();
  const { traceEvents } = JSON.parse(Buffer.concat(pieces).toString()) as {
    traceEvents: { ph: string; name: string; ts: number; dur: number }[];
  };
  expect(traceEvents.filter(({ ph }) => "BEX".includes(ph))).toMatchObject([
    { ph: "B", name: "outer", ts: 10 },
    { ph: "X", name: "inner", ts: 11.5, dur: 2, args: { a: { b: [1, "]}"] } } },
    // Speedscope ends nothing by an end without its name.
    { ph: "E", name: "outer", cat: "c", ts: 20 },
  ]);
});
