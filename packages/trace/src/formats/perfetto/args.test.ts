import { expect, test } from "vitest";
import type { ArgSetId, StringId } from "../../model/sink.ts";
import { ArgSets, KEPT_SETS } from "./args.ts";

test("the newest sets are kept with what was put in, older ones are refused by name", () => {
  const sets = new ArgSets();
  const key = 1 as StringId;
  const built = 2 * KEPT_SETS + KEPT_SETS / 2;
  for (let i = 0; i < built; i++) {
    if (i % 3 === 0) sets.int(key, BigInt(i));
    else sets.int(key, i);
    if (i % 2 === 0) sets.bool(key, true);
    expect(sets.done()).toBe(i);
  }
  for (let i = built - KEPT_SETS; i < built; i += 997) {
    const { store, from, to } = sets.get(i as ArgSetId);
    expect(to - from).toBe(i % 2 === 0 ? 2 : 1);
    const value = store.values[from]!;
    expect(i % 3 === 0 ? store.objects[value] : value).toBe(i % 3 === 0 ? BigInt(i) : i);
  }
  expect(() => sets.get(0 as ArgSetId)).toThrow("argument set 0 is not kept");
  expect(() => sets.get(built as ArgSetId)).toThrow(RangeError);
});
