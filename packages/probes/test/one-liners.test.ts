/** Every command of docs/one-liners.md, as it stands there, on a small workload. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { testNeeding } from "../../kymo/src/testing/capability.ts";

const kymo =
  process.env["KYMO"] ?? fileURLToPath(new URL("../../kymo/bin/kymo.mjs", import.meta.url));
const page = readFileSync(new URL("../../../docs/one-liners.md", import.meta.url), "utf8");
const commands = [...page.matchAll(/^sudo kymo probe -e '(.*)'$/gm)].map(([, code]) => code!);

/** Opens, reads and writes files, waits for the disk, computes for a moment. */
const workload = `cat /etc/hostname /etc/passwd > /dev/null
for i in $(seq 20000); do :; done
dd if=/dev/zero of=$(mktemp -p ${tmpdir()} kymo-one-liner-XXXXXX) bs=64k count=4 conv=fsync status=none
rm -f ${tmpdir()}/kymo-one-liner-*
sleep 1.2`;

/** What a one-liner prints, by what stands in its code. */
const expected: readonly (readonly [RegExp, RegExp])[] = [
  [/openat.*\(\$\{pid/, /^cat\(\d+\): \/etc\/hostname$/m],
  [/openat.*comm\(\)\}/, /^cat \/etc\/hostname$/m],
  [/cgroup/, /\/etc\/hostname$/m],
  [/anySyscall\(\(\) => calls/, /^ +cat +\d/m],
  [/syscallName/, /^ +openat +\d/m],
  [/bytes = sum/, /^ +cat +[\d,.]+/m],
  [/sizes = (hist|quantize)/, /^ +\[\d.*[\])] +\d+/m],
  [/every: "1s"/, /rate\D+[\d,]+\n[\s\S]*rate\D+[\d,]+/],
  [/\$\{e\.bytes\}/, /^\d+ \S+ \d+$/m],
  [/page-faults/, /^ +bash +\d/m],
  [/ustack/, /^ {4,}(?!\[unknown\])\S/m],
  [/kstack/, /blk_mq/],
];

testNeeding("linux")("there are as many as the page says", () => {
  expect(commands.length).toBe(14);
});

const probing = testNeeding("linux", "root", "tracepoints", "bpf");
for (const code of commands)
  probing(code.replaceAll(/\s+/g, " "), () => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [kymo, "probe", "-e", code, "--", "bash", "-c", workload],
      { encoding: "utf8", timeout: 50_000 },
    );
    if (stderr.includes("has no event")) {
      // The machine lacks the counter: in words, and nothing else goes wrong.
      expect(stderr).toMatch(/this machine has no event cache-misses/);
      expect(status).toBe(1);
      return;
    }
    expect([status, stderr]).toEqual([0, expect.not.stringMatching(/error|refused/i)]);
    const pattern = expected.find(([of]) => of.test(code))?.[1];
    expect(pattern, `what ${code} prints`).toBeDefined();
    expect(stdout).toMatch(pattern!);
  });
