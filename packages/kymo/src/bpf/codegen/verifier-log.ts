/**
 * Why the kernel refused a program, at the user's line and in words.
 *
 * The log (level 1) lists the instructions of the way that failed, then the reason, then what it cost:
 *
 *     7: (79) r8 = *(u64 *)(r0 +0)
 *     R0 invalid mem access 'map_value_or_null'
 *     processed 8 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
 *
 * @see the kernel's Documentation/bpf/verifier.rst, and the messages in kernel/bpf/verifier.c
 */
import type { Block, Handler, SourceAt } from "../ir.ts";
import { ProbeError, type Program } from "../program.ts";

interface Reason {
  readonly pattern: RegExp;
  readonly message: string | ((match: RegExpMatchArray) => string);
  readonly fix?: string;
  /** The place is the biggest loop, not the instruction where patience ended. */
  readonly isAboutLoops?: boolean;
}

const reasons: readonly Reason[] = [
  {
    pattern: /invalid mem access '(?:\w*_or_null|or_null\w*)'|possibly NULL pointer/i,
    message: "this may be absent (null) here, and is used as if it were not",
    fix: "test it first: `if (x === undefined) return;`",
  },
  {
    pattern: /infinite loop detected|back-edge from insn|loop .*not bounded/,
    message: "the kernel can't see that this loop ends",
    fix: "give it a constant end: `for (let i = 0; i < 16; i++)`",
    isAboutLoops: true,
  },
  {
    pattern: /BPF program is too large|too many states|jumps is too complex|too complex/,
    message:
      "this is more than the kernel is willing to check (rounds of loops × ways through their bodies)",
    fix: "fewer rounds, or fewer ifs inside the loop",
    isAboutLoops: true,
  },
  {
    pattern:
      /invalid access to (?:map|mem|packet|memory)|outside of the (?:allowed )?memory range|(?:min|max) value is (?:negative|outside)|unbounded (?:min|max|memory)|unbounded (?:variable|value)|bounds? (?:check|is not)|invalid zero-sized read/,
    message: "this may reach outside of the memory that it is in",
    fix: "check the index or length against a constant right before: `if (i >= 16) return;`",
  },
  {
    pattern: /stack size .* too large|combined stack|stack depth|exceeds .*stack/i,
    message: "the probe needs more stack than the kernel gives (512 bytes)",
    fix: "read shorter strings, or put them straight into the event instead of a variable",
  },
  {
    pattern:
      /invalid (?:unbounded )?(?:variable-offset )?(?:indirect )?(?:read|write|access|zero-size read|size).*stack/,
    message: "bytes of a variable are read that were never written, or it is reached past its end",
  },
  {
    pattern: /invalid bpf_context access off=(\d+) size=(\d+)/,
    message: ([, offset, size]) =>
      `the event has no readable field at byte ${offset} (${size} bytes) on this kernel`,
    fix: "`kymo probe --list -v` shows the event's fields here",
  },
  {
    pattern: /may sleep|sleepable/i,
    message: "this may wait for memory, and this kind of probe must not",
    fix: "use str() instead, which reads what is in memory already",
  },
  {
    pattern: /(?:unknown func|cannot use helper|helper call is not allowed).*?([a-z_]\w*)#\d+/,
    message: ([, helper]) => `${helper} is not available in this kind of probe`,
    fix: "another kind of probe on the same place may have it (tracepoint, uprobe)",
  },
  {
    pattern: /unknown func|cannot use helper|helper call is not allowed|invalid func/,
    message:
      "this needs a function of the kernel that this kind of probe, or this kernel, doesn't have",
  },
  {
    pattern: /(?:calling )?kernel (?:btf )?func(?:tion)? (\w+).*(?:not allowed|is not)/,
    message: ([, name]) => `the kernel's ${name} may not be called from this kind of probe`,
  },
  {
    pattern: /Unreleased reference|reference .*(?:leak|not released|acquired)/i,
    message: "a record or object that was taken isn't given back on every way out",
    fix: "this is a mistake of kymo's; please report it with the probe",
  },
  {
    pattern:
      /At program exit .*R0|program exit.*should have been|R0 .* has (?:unknown|invalid) scalar/,
    message: "this kind of probe must not return this value",
    fix: "end the handler without a value",
  },
  {
    pattern: /!read_ok|invalid read from uninit/,
    message: "this is used before it was given a value, on one of the ways here",
  },
  {
    pattern: /pointer arithmetic|math between .*pointer|bitwise operator .* on pointer/,
    message: "the kernel allows no such arithmetic on a pointer",
    fix: "add or subtract small, bounded numbers only",
  },
  {
    pattern:
      /cannot write|write .*(?:disallowed|not allowed)|only read is supported|writes? into .*prohibited/,
    message: "this memory can only be read",
  },
  {
    pattern:
      /invalid mem access '(?:scalar|inv|mem_or_null)?'?|type=\w* expected=|doesn't point to|pointer type .* must point/,
    message: "this is no pointer that the kernel trusts at this place",
    fix: 'read it with kstr(), str() or cast<T>("struct …", pointer), or test it for null first',
  },
  {
    pattern: /access beyond (?:struct|the end)|access to .* beyond|invalid .* access to .*struct/,
    message: "this reaches past the end of the kernel's structure",
  },
  { pattern: /misaligned/, message: "this is not aligned as the kernel wants it" },
];

/**
 * @param log what BPF_PROG_LOAD wrote, level 1; "" when it wrote nothing.
 * @returns the error, with the verifier's own line at its end.
 */
export function explainRefusal(log: string, program: Program, handler: Handler): ProbeError {
  const { instruction, verdict } = read(log);
  const reason = reasons.find(({ pattern }) => pattern.test(verdict));
  const at =
    (reason?.isAboutLoops === true ? biggestLoop(handler.body)?.at : undefined) ??
    placeOf(program, instruction) ??
    firstPlace(handler.body);
  const file = at === undefined ? undefined : handler.files[at.file];
  const place = at === undefined || file === undefined ? undefined : { file, offset: at.offset };
  const own = verdict === "" ? "no reason given" : verdict;
  const message =
    reason === undefined
      ? "the kernel refuses this"
      : typeof reason.message === "string"
        ? reason.message
        : reason.message(verdict.match(reason.pattern)!);
  return new ProbeError(`${message} (the kernel: ${own})`, place, reason?.fix);
}

/** Some reasons take two lines: what was reached for, and what the verifier knew about it. */
const verdictLinesMax = 3;

/** Lines that say how the verifier got there, not why it stopped. */
const chatter =
  /^(?:\s|processed |func#|mark_precise|verification time|stack depth|Live regs|from \d+ to|arg#|Validating|\d+: |;|max_states|peak_states)/;

function read(log: string): { instruction: number | undefined; verdict: string } {
  let instruction: number | undefined;
  let words: string[] = [];
  for (const line of log.split("\n").map((line) => line.trimEnd())) {
    const listed = /^(\d+): \(/.exec(line);
    if (listed !== null) {
      instruction = Number(listed[1]);
      // What comes after a jump is on the jump's line.
      const after = / goto pc[+-]\d+\s+(?![\s;]|R\d|\d+:)(.+)$/.exec(line)?.[1];
      words = after === undefined ? [] : [after];
    } else if (line !== "" && !chatter.test(line)) {
      words.push(line);
    }
  }
  const verdict = words.slice(-verdictLinesMax).join("; ");
  const named = /\b(?:at|from) insn (\d+)/.exec(verdict);
  return { instruction: named === null ? instruction : Number(named[1]), verdict };
}

function placeOf(program: Program, instruction: number | undefined): SourceAt | undefined {
  if (instruction === undefined) return undefined;
  return program.lines.findLast((line) => line.instruction <= instruction)?.at;
}

function firstPlace(body: Block): SourceAt | undefined {
  return body.find((statement) => statement.at !== undefined)?.at;
}

/** The loop that runs the most rounds, with those inside it. */
function biggestLoop(body: Block): { at: SourceAt | undefined; rounds: number } | undefined {
  let biggest: { at: SourceAt | undefined; rounds: number } | undefined;
  const offer = (loop: typeof biggest) => {
    if (loop !== undefined && loop.rounds > (biggest?.rounds ?? 0)) biggest = loop;
  };
  for (const statement of body) {
    if (statement.op === "for") {
      const inner = biggestLoop(statement.body);
      offer({ at: statement.at ?? inner?.at, rounds: statement.most * (inner?.rounds ?? 1) });
    } else if (statement.op === "if") {
      offer(biggestLoop(statement.then));
      offer(biggestLoop(statement.else));
    } else if (statement.op === "emit") {
      offer(biggestLoop(statement.body));
    }
  }
  return biggest;
}
