/** npm test: installs what the tests need, builds, runs every test, and closes with one line of counts. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { needBuild, needNode, needPackages, needTestTools, root } from "./setup.mjs";

needNode();
needPackages();
needTestTools();
needBuild();

const dir = mkdtempSync(path.join(os.tmpdir(), "kymo-test-"));
const report = path.join(dir, "report.json");
const run = spawnSync(
  process.execPath,
  [
    path.join(root, "node_modules/vitest/vitest.mjs"),
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: "inherit" },
);
let status = run.status ?? 1;
try {
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(
    readFileSync(report, "utf8"),
  );
  const skipped = testResults.flatMap((file) =>
    file.assertionResults.filter((test) => test.status === "pending" || test.status === "skipped"),
  );
  for (const test of skipped) console.log(`skipped: ${test.fullName}`);
  console.log(
    `${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests + numTodoTests} skipped`,
  );
  if (numPassedTests === 0) status ||= 1;
} catch {
  console.log("the test runner left no report");
  status ||= 1;
}
rmSync(dir, { recursive: true, force: true });
process.exit(status);
