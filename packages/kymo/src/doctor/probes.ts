/** What `kymo probe` can be put on here: each attach kind, tried. */
import { probeKinds } from "../bpf/kernel/available.ts";
import { loadLibc } from "../linux/libc.ts";
import { type Check, Checks, groups, messageOf } from "./check.ts";

export async function probeChecks(): Promise<readonly Check[]> {
  const checks = new Checks(groups.probes);
  try {
    const kinds = probeKinds(await loadLibc());
    const [first] = kinds;
    if (kinds.every(({ feature }) => !feature.ok) && first !== undefined && !first.feature.ok)
      checks.no("BPF programs", first.feature.reason, first.feature.fix);
    else
      for (const { name, gives, feature } of kinds)
        if (feature.ok) checks.yes(name, gives);
        else checks.no(name, feature.reason, feature.fix);
  } catch (error) {
    checks.no("BPF programs", `not tried: ${messageOf(error)}`);
  }
  return checks.all;
}
