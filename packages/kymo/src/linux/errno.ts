/** Errors of system calls in words: the call, the errno name, the object, and what to do. */
import { constants } from "node:os";

const nameOfErrno: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno)
    // EWOULDBLOCK and EOPNOTSUPP share numbers with the names people know better.
    .filter(([name]) => name !== "EWOULDBLOCK" && name !== "EOPNOTSUPP")
    .map(([name, errno]) => [errno as number, name]),
);

/** "EACCES" for 13; the number itself when it has no name. */
export function errnoName(errno: number): string {
  return nameOfErrno.get(errno) ?? `errno ${errno}`;
}

/** A failed system call: `perf_event_open(cpu 3): EACCES`. */
export class SyscallError extends Error {
  override readonly name = "SyscallError";
  readonly errno: number;
  /** The errno's name, as Node's own errors have it. */
  readonly code: string;
  constructor(call: string, errno: number) {
    super(`${call}: ${errnoName(errno)}`);
    this.errno = errno;
    this.code = errnoName(errno);
  }
}
