/**
 * System calls by which programs mark events (the shipped probe marks.ts says which): faccessat with a mode that no call can
 * have. A slice for each would hide what they say.
 */
import { syscallNumber } from "../../linux/syscall-names.ts";

const lastMode = -932;
const firstMode = -935;

export function markCalls(arch: string): (call: number, mode: number) => boolean {
  const [faccessat, faccessat2] = ["faccessat", "faccessat2"].map((name) =>
    syscallNumber(arch, name),
  );
  return (call, mode) =>
    (call === faccessat || call === faccessat2) && mode >= firstMode && mode <= lastMode;
}
