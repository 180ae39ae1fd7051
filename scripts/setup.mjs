/**
 * What a clean checkout needs before anything runs, in plain JavaScript without dependencies: a new enough Node, the npm
 * packages, a build, and (for the tests) a few Debian packages where this user may install them.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("..", import.meta.url));
const stamp = path.join(root, "node_modules/.kymo-installed");

/** Ends the process with words when Node is too old. */
export function needNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  console.error(
    `kymo needs Node 20.19 or newer; this is ${process.versions.node}.\n  fix: install a current Node (see https://nodejs.org)`,
  );
  process.exit(1);
}

/** npm ci, when node_modules is missing or older than the lock file. */
export function needPackages() {
  const lock = readFileSync(path.join(root, "package-lock.json"), "utf8");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return;
  console.log("installing npm packages…");
  run("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  writeFileSync(stamp, lock);
}

/** npm run build, when a source is newer than the last build. */
export function needBuild() {
  const built = path.join(root, "packages/kymo/dist/cli.js");
  const page = path.join(root, "packages/kymo/dist/ui/index.html");
  if (existsSync(built) && existsSync(page)) {
    const builtMs = Math.min(statSync(built).mtimeMs, statSync(page).mtimeMs);
    if (
      newestMs(path.join(root, "packages")) < builtMs &&
      newestMs(path.join(root, "scripts")) < builtMs
    )
      return;
  }
  console.log("building…");
  run(process.execPath, [path.join(root, "scripts/build.mjs")], {
    cwd: root,
    stdio: "inherit",
  });
}

/** Runs a command with its output passed through; ends this process with words when it fails. */
function run(command, args, options) {
  const { status, error } = spawnSync(command, args, options);
  if (status === 0) return;
  console.error(
    `${path.basename(command)} ${args.join(" ")} failed${error ? `: ${error.message}` : ` with status ${status}`}; see above`,
  );
  process.exit(1);
}

function newestMs(dir) {
  let newest = 0;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    if (
      entry.name === "node_modules" ||
      entry.name === "dist" ||
      entry.name.endsWith(".tsbuildinfo")
    )
      continue;
    const at = path.join(dir, entry.name);
    newest = Math.max(newest, entry.isDirectory() ? newestMs(at) : statSync(at).mtimeMs);
  }
  return newest;
}

/** Debian packages behind the commands that some tests compare with or drive. */
const debianPackages = {
  perf: "linux-perf",
  chromium: "chromium",
  cc: "gcc",
  strace: "strace",
  setpriv: "util-linux",
  nm: "binutils",
  clang: "clang",
  bpftool: "bpftool",
  openssl: "openssl",
  ip: "iproute2",
  python3: "python3",
};

/** Installs what is missing, where apt-get and the rights are there; says what stays missing and that its tests skip. */
export function needTestTools() {
  const missing = Object.keys(debianPackages).filter((command) => !onPath(command));
  if (missing.length === 0) return;
  const packages = missing.map((command) => debianPackages[command]);
  if (process.platform === "linux" && onPath("apt-get")) {
    const sudo =
      process.getuid() === 0
        ? []
        : onPath("sudo") && spawnSync("sudo", ["-n", "true"]).status === 0
          ? ["sudo", "-n"]
          : undefined;
    if (sudo !== undefined) {
      console.log(`installing Debian packages for the tests: ${packages.join(" ")}`);
      const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
      const apt = (...args) =>
        spawnSync([...sudo, "apt-get"][0], [...sudo, "apt-get", ...args].slice(1), {
          stdio: ["ignore", "ignore", "inherit"],
          env,
        });
      apt("update", "-qq");
      if (apt("install", "-y", "-qq", "--no-install-recommends", ...packages).status === 0) return;
    }
  }
  const still = missing.filter((command) => !onPath(command));
  if (still.length > 0)
    console.log(
      `not on this machine: ${still.join(", ")}; the tests that need them will skip and say so`,
    );
}

export function onPath(command) {
  return (process.env.PATH ?? "")
    .split(path.delimiter)
    .some((dir) => existsSync(path.join(dir, command)));
}
