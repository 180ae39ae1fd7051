/**
 * A way that has just tested something need not test it again: `take()` looks up, and then the handler asks whether
 * something was found.
 *
 *     if (p == 0) A else B;  A ─► T, B ─► T: if (p == 0) C else D        becomes        A ─► C, B ─► D
 */
import { reachable } from "./flow.ts";
import { type Block, type Branch, type Code, isRegister, successors, written } from "./machine.ts";

/** How far up a way is looked for a test. */
const stepsMax = 8;

export function threadJumps(code: Code): void {
  const blocks = reachable(code);
  const incoming = new Map<Block, Block[]>();
  for (const block of blocks) {
    for (const to of successors(block)) {
      const list = incoming.get(to);
      if (list === undefined) incoming.set(to, [block]);
      else list.push(block);
    }
  }
  for (const block of blocks) {
    const { end } = block;
    if (end.op === "jump") {
      block.end = { ...end, to: beyond(end.to, (test) => known(block, test, incoming)) };
    } else if (end.op === "branch") {
      const along = (isYes: boolean) => (test: Branch) =>
        asksTheSame(end, test) ? isYes === (end.operator === test.operator) : undefined;
      block.end = { ...end, yes: beyond(end.yes, along(true)), no: beyond(end.no, along(false)) };
    }
  }
}

/** Where a block that is nothing but a test leads to, when its outcome is known. */
function beyond(block: Block, outcomeOf: (test: Branch) => boolean | undefined): Block {
  if (block.instructions.length > 0 || block.end.op !== "branch") return block;
  const outcome = outcomeOf(block.end);
  if (outcome === undefined) return block;
  return outcome ? block.end.yes : block.end.no;
}

/** What the test gives at the end of the block; undefined when that isn't clear. */
function known(
  block: Block,
  test: Branch,
  incoming: ReadonlyMap<Block, readonly Block[]>,
): boolean | undefined {
  let at = block;
  for (let steps = 0; steps < stepsMax; steps++) {
    if (at.instructions.some((instruction) => written(instruction) === test.left)) return undefined;
    const before: readonly Block[] = incoming.get(at) ?? [];
    const [from] = before;
    if (from === undefined || before.length !== 1) return undefined;
    const { end } = from;
    if (end.op === "branch" && asksTheSame(end, test))
      return (end.yes === at) === (end.operator === test.operator);
    at = from;
  }
  return undefined;
}

function isEquality({ operator }: Branch): boolean {
  return operator === "==" || operator === "!=";
}

function asksTheSame(a: Branch, b: Branch): boolean {
  return (
    isEquality(a) &&
    a.left === b.left &&
    a.bits === b.bits &&
    isEquality(b) &&
    !isRegister(a.right) &&
    !isRegister(b.right) &&
    a.right.imm === b.right.imm
  );
}

/**
 * A choice between a constant and something as short: the constant is there before the test, and one arm is gone.
 *
 *     if (c) x = 1 else x = 2        becomes        x = 1; if (!c) x = 2
 */
export function hoistConstants(code: Code): void {
  for (const block of reachable(code)) {
    const { end } = block;
    if (end.op !== "branch") continue;
    const [first, ...more] = end.yes.instructions;
    const [other, ...others] = end.no.instructions;
    const isShort = more.length === 0 && others.length === 0;
    if (!isShort || first?.op !== "move" || other?.op !== "move") continue;
    if (isRegister(first.from) || isRegister(other.from) || first.to !== other.to) continue;
    if (end.yes.end.op !== "jump" || end.no.end.op !== "jump") continue;
    if (end.yes.end.to !== end.no.end.to || first.to === end.left || first.to === end.right)
      continue;
    block.instructions.push(first);
    block.end = { ...end, yes: end.yes.end.to };
  }
}
