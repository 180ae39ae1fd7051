/** Names with `*` and `?`. */

export function isGlob(text: string): boolean {
  return /[*?]/.test(text);
}

/** Matches the whole name; `*` any characters, `?` one. */
export function globPattern(glob: string): RegExp {
  const source = glob
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`, "s");
}
