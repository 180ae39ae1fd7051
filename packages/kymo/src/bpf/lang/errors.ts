/** Several errors of one load. */
import { ProbeError } from "../program.ts";

/** Thrown in place of the first one, which it is, with all of them in its text. */
export class ProbeErrors extends ProbeError {
  readonly errors: readonly ProbeError[];

  private constructor(first: ProbeError, errors: readonly ProbeError[]) {
    super(first.message, undefined, first.fix);
    this.errors = errors;
    Object.assign(this, { file: first.file, line: first.line, column: first.column });
  }

  /** The error itself when it is one. Of errors at the same place, the first one. */
  static of(all: readonly ProbeError[]): ProbeError {
    const places = new Set<string>();
    const errors = all.filter((error) => {
      const place = `${error.file}:${error.line}:${error.column}: ${error.message}`;
      return !places.has(place) && places.add(place);
    });
    return errors.length === 1 ? errors[0]! : new ProbeErrors(errors[0]!, errors);
  }

  override toString(): string {
    return this.errors
      .map((error) => (error.fix === undefined ? String(error) : `${error}\n  fix: ${error.fix}`))
      .join("\n");
  }
}

/** The same error, with something else to do about it. */
export function withFix(error: ProbeError, fix: string): ProbeError {
  const { file, line, column } = error;
  return Object.assign(new ProbeError(error.message, undefined, fix), { file, line, column });
}
