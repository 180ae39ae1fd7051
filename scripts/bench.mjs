/** npm run bench [NAME…]: runs the benchmarks in bench/ whose file name contains one of the names; without names, all. */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import path from "node:path";
import { needBuild, needNode, needPackages, root } from "./setup.mjs";

needNode();
needPackages();
needBuild();
const wanted = process.argv.slice(2);
const files = readdirSync(path.join(root, "bench"))
  .filter((file) => /\.(bench\.ts|bench\.mjs|mjs)$/.test(file) && !file.startsWith("_"))
  .filter((file) => wanted.length === 0 || wanted.some((name) => file.includes(name)));
let status = 0;
for (const file of files) {
  console.log(`\n== ${file}`);
  const tsx = file.endsWith(".ts") ? ["--import", "tsx", "--conditions=source"] : [];
  const run = spawnSync(process.execPath, ["--expose-gc", ...tsx, path.join(root, "bench", file)], {
    cwd: root,
    stdio: "inherit",
  });
  status ||= run.status ?? 1;
}
process.exit(status);
