/**
 * Memory of the program that is probed. A page of it may not be in memory, as that of a literal which nobody has touched: a
 * program of a uprobe may wait for it, any other can't read it then, and leaves it to whoever decodes the record.
 */
import type { Expr } from "../ir.ts";
import { u64 } from "../ir.ts";
import { compare, constant, plus, zero } from "./builder.ts";
import type { Lowering } from "./context.ts";
import { helper } from "./helpers.ts";

/** int bpf_copy_from_user_str(void *dst, u32 dst__sz, const void *unsafe_ptr, u64 flags), Linux 6.12 */
export const sleepingTextRead = "bpf_copy_from_user_str";
/** The rest of the memory is zeroed, all of it when the address is bad. */
const padZeros = constant(1);

/** Reads up to a NUL, `room` bytes at most with it. */
export function readUserText(l: Lowering, to: Expr, room: Expr, address: Expr): void {
  const { build, sleeping } = l;
  if (sleeping.allowed) {
    sleeping.used = true;
    build.eval({ op: "kfunc", name: sleepingTextRead, args: [to, room, address, padZeros] });
  } else build.eval(build.call(helper.readUserText, to, room, address));
}

export function readUserBytes(l: Lowering, to: Expr, bytes: number, address: Expr): void {
  const { build, sleeping } = l;
  if (sleeping.allowed) sleeping.used = true;
  const read = sleeping.allowed ? helper.copyUser : helper.readUser;
  build.eval(build.call(read, to, constant(bytes), address));
}

/** As readUserText; at `late` the address where it is to be read when it could not be, else 0. */
export function readUserTextNowOrLater(
  { build }: Pick<Lowering, "build">,
  to: Expr,
  room: Expr,
  address: Expr,
  late: { readonly to: Expr; readonly offset: number },
): void {
  const read = build.keep(build.call(helper.readUserText, to, room, address));
  const failed = compare("<", read, zero, true);
  const later: Expr = { op: "select", condition: failed, then: address, else: zero };
  build.store(u64, late.to, late.offset, later);
}

/** Once more what could not be read before: the kernel may have touched it since. */
export function readUserTextAgain(
  l: Pick<Lowering, "build">,
  to: Expr,
  offset: number,
  room: Expr,
  late: { readonly to: Expr; readonly offset: number },
): void {
  const { build } = l;
  const address = build.keep(build.load(u64, "direct", late.to, late.offset));
  build.when(compare("!=", address, zero), () =>
    readUserTextNowOrLater(l, plus(to, offset), room, address, late),
  );
}
