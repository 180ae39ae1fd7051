/** The built page: a fixed list of files, read from disk when the server starts; nothing else can be asked for. */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

export interface StaticFile {
  readonly type: string;
  readonly bytes: Uint8Array;
}

const types: { readonly [extension: string]: string } = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
  ".map": "application/json",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".wasm": "application/wasm",
  ".txt": "text/plain; charset=utf-8",
};

/** Where the page's build is: beside the bundled program. */
export function builtPage(): string {
  return fileURLToPath(new URL("./ui/", import.meta.url));
}

/** By URL path ("/", "/assets/x.js"). Empty when the page is not built. */
export async function staticFiles(directory: string): Promise<ReadonlyMap<string, StaticFile>> {
  const files = new Map<string, StaticFile>();
  if (!existsSync(directory)) return files;
  for (const entry of await readdir(directory, { withFileTypes: true, recursive: true })) {
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath ?? entry.path, entry.name);
    const name = path.relative(directory, file).split(path.sep).join("/");
    const type = types[path.extname(name).toLowerCase()] ?? "application/octet-stream";
    const served = { type, bytes: await readFile(file) };
    files.set(`/${name}`, served);
    if (name === "index.html") files.set("/", served);
  }
  return files;
}
