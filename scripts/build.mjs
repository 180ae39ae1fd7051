/** Builds all packages: registries, packages/trace (tsc), the page (vite), the command line (esbuild). */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const bin = (name) => path.join(root, "node_modules/.bin", name);
const run = (name, args, cwd = root) => execFileSync(bin(name), args, { cwd, stdio: "inherit" });
const only = process.argv[2]; // "ui", "kymo" or "trace": just that part

if (!only) run("tsx", ["scripts/gen.ts"]);
if (!only || only === "trace") run("tsc", ["-b", "packages/trace"]);
if (!only || only === "kymo") await buildKymo();
if (!only) buildTypes();
if (!only || only === "ui") {
  if (existsSync(path.join(root, "packages/ui/vite.config.ts")))
    run("vite", ["build", "--logLevel", "warn"], path.join(root, "packages/ui"));
}

/** dist/cli.js, dist/index.js and one dist/NAME.worker.js for each src/**\/NAME.worker.ts; dependencies stay outside. */
async function buildKymo() {
  const { build } = await import("esbuild");
  const pkg = path.join(root, "packages/kymo");
  if (!existsSync(path.join(pkg, "src/cli/main.ts"))) return;
  const workers = walk(path.join(pkg, "src")).filter((file) => file.endsWith(".worker.ts"));
  const options = {
    write: false,
    outdir: path.join(pkg, "dist"),
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    conditions: ["source"],
    external: [
      "koffi",
      "@duckdb/node-api",
      "@duckdb/node-bindings",
      "ws",
      "oxc-parser",
      "oxc-transform",
    ],
    splitting: true,
    sourcemap: true,
    logLevel: "warning",
  };
  // A worker shares no modules with its thread of origin: as few files of its own, it starts 20 ms sooner than as thirty.
  const builds = await Promise.all([
    build({
      ...options,
      entryPoints: [
        { in: path.join(pkg, "src/cli/main.ts"), out: "cli" },
        { in: path.join(pkg, "src/index.ts"), out: "index" },
        { in: path.join(pkg, "src/probe/index.ts"), out: "probe" },
      ],
    }),
    ...workers.map((file) =>
      build({ ...options, entryPoints: [{ in: file, out: path.basename(file, ".ts") }] }),
    ),
  ]);
  const outputFiles = builds.flatMap((built) => built.outputFiles);
  // New files first, stale ones after: a kymo that is starting right now finds its modules.
  const dist = path.join(pkg, "dist");
  mkdirSync(dist, { recursive: true });
  for (const { path: file, contents } of outputFiles) {
    writeFileSync(`${file}.new`, contents);
    renameSync(`${file}.new`, file);
  }
  const fresh = new Set(outputFiles.map((file) => path.basename(file.path)));
  for (const name of readdirSync(dist))
    if (/\.js(\.map|\.new)?$/.test(name) && !fresh.has(name)) rmSync(path.join(dist, name));
  // The probes that ship: readable TypeScript, compiled by kymo when they are used.
  const probes = path.join(root, "packages/probes/src");
  mkdirSync(path.join(dist, "probes"), { recursive: true });
  for (const name of readdirSync(probes))
    if (name.endsWith(".ts"))
      writeFileSync(path.join(dist, "probes", name), readFileSync(path.join(probes, name)));
}
/**
 * dist/types: the declarations of the scripting API with those of the trace package beside them, so that the
 * published package needs no other.
 */
function buildTypes() {
  run("tsc", ["-b", "packages/kymo"]);
  const out = path.join(root, "packages/kymo/dist/types");
  rmSync(out, { recursive: true, force: true });
  const sources = { kymo: "node_modules/.cache/kymo-types", trace: "packages/trace/dist" };
  for (const [name, dir] of Object.entries(sources)) {
    const from = path.join(root, dir);
    for (const file of walk(from)) {
      const inside = path.relative(from, file);
      if (!file.endsWith(".d.ts") || /\.test\.|\.worker\.|(^|[\\/])(testing|cli)[\\/]/.test(inside))
        continue;
      const to = path.join(out, name, inside);
      const up = path.relative(path.dirname(to), path.join(out, "trace")).split(path.sep).join("/");
      const text = readFileSync(file, "utf8")
        .replace(/(from |import\()"(\.{1,2}\/[^"]+)\.ts"/g, '$1"$2.js"')
        .replace(/"@kymo\/trace\/engine"/g, `"${up}/engine/index.js"`)
        .replace(/"@kymo\/trace"/g, `"${up}/index.js"`)
        .replace(/\n\/\/# sourceMappingURL=.*/, "");
      mkdirSync(path.dirname(to), { recursive: true });
      writeFileSync(to, text);
    }
  }
}

function walk(dir) {
  return readdirSync(dir, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name));
}
