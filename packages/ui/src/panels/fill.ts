import { sliceFill } from "@kymo/trace/engine";

export const colorOf = (rgb: number): string => `#${rgb.toString(16).padStart(6, "0")}`;

/** The colour the engine gives this name in slices. */
export const fillOfName = (name: string, isSyscall = false): string =>
  colorOf(sliceFill(name, isSyscall));
