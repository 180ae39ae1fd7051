/** What a file under cli/commands exports as `command`. `main.ts` loads it on first use. */
export interface Command {
  /** One line for `kymo --help`. */
  readonly summary: string;
  /** What `kymo NAME --help` prints. */
  readonly help: string;
  /** @returns the exit status. @throws UserError for a job that failed, UsageError for wrong usage. */
  run(args: readonly string[]): Promise<number>;
}

/** The job failed, and the user can act: printed as it is, without a stack trace; exit status 1. */
export class UserError extends Error {
  override readonly name: string = "UserError";
  readonly fix: string | undefined;
  constructor(message: string, fix?: string) {
    super(message);
    this.fix = fix;
  }
}

/** Wrong usage: printed with a pointer to the help; exit status 2. */
export class UsageError extends UserError {
  override readonly name = "UsageError";
}
