/** Names near one that is not there. */

const shown = 5;
/** More names than this are only searched for those that contain the one asked for. */
const comparedLimit = 20_000;

/** Up to five of `names`, the nearest first: those within a few edits, then those that contain it. */
export function suggestions(wanted: string, names: Iterable<string>): string[] {
  const all = [...new Set(names)];
  const lower = wanted.toLowerCase();
  const most = Math.max(2, Math.floor(wanted.length / 3));
  const ranked: { readonly name: string; readonly distance: number }[] = [];
  for (const name of all) {
    const lowerName = name.toLowerCase();
    if (all.length <= comparedLimit && Math.abs(name.length - wanted.length) <= most) {
      const distance = editDistance(lower, lowerName, most);
      if (distance <= most) {
        ranked.push({ name, distance });
        continue;
      }
    }
    if (wanted.length >= 3 && (lowerName.includes(lower) || lower.includes(lowerName)))
      ranked.push({ name, distance: most + Math.abs(name.length - wanted.length) });
  }
  return ranked
    .filter(({ name }) => name.length >= 3 || wanted.length < 3)
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, shown)
    .map(({ name }) => name);
}

/** Insertions, deletions and replacements between two texts; more than `most` is not counted out. */
function editDistance(a: string, b: string, most: number): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const cost = Math.min(
        previous[j]! + 1,
        row[j - 1]! + 1,
        previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1),
      );
      row[j] = cost;
      least = Math.min(least, cost);
    }
    if (least > most) return most + 1;
    previous = row;
  }
  return previous[b.length]!;
}
