#!/usr/bin/env node
const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`kymo needs Node 20.19 or newer; this is ${process.versions.node}.\n  fix: install a current Node (see https://nodejs.org)`);
  process.exit(1);
}
const { main } = await import("../dist/cli.js").catch((error) => {
  if (error.code !== "ERR_MODULE_NOT_FOUND" || !String(error.message).includes("dist/cli.js")) throw error;
  console.error("kymo is not built yet.\n  fix: npm ci && npm run build");
  process.exit(1);
});
process.exitCode = await main(process.argv.slice(2));
