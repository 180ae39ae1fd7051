/** Numbers given as flags, checked. */
import { UsageError } from "./command.ts";

/** @throws UsageError */
export function positiveInteger(flag: string, value: number): number {
  if (!Number.isInteger(value) || value <= 0)
    throw new UsageError(`${flag} needs a positive whole number, not ${value}`);
  return value;
}

/** @throws UsageError */
export function inRange(flag: string, value: number, least: number, most: number): number {
  if (!(value >= least && value <= most))
    throw new UsageError(`${flag} needs a number from ${least} to ${most}, not ${value}`);
  return value;
}
