import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FileWatch } from "./file-watch.ts";

let dir: string;
let watched: string;
let saves: number;
let saved: () => void;
let files: FileWatch;

beforeEach(() => {
  dir = mkdtempSync(path.join(tmpdir(), "kymo-watch-"));
  watched = path.join(dir, "probe.ts");
  writeFileSync(watched, "0");
  saves = 0;
  files = new FileWatch(() => {
    saves++;
    saved();
  });
  files.files([watched]);
});
afterEach(() => {
  files.close();
  rmSync(dir, { recursive: true, force: true });
});
/** Waits for the next save to be seen. */
const seen = (save: () => void): Promise<void> =>
  new Promise((resolve) => {
    saved = resolve;
    save();
  });
const renamed = (text: string, over: string): void => {
  writeFileSync(`${over}.new`, text);
  renameSync(`${over}.new`, over);
};

test("each way of saving is seen: in place, renamed over, and taken away before it is written anew", async () => {
  await seen(() => writeFileSync(watched, "1"));
  await seen(() => renamed("2", watched));
  await seen(() => {
    renameSync(watched, `${watched}~`);
    writeFileSync(watched, "3");
  });
  // The directory entry is another file by now.
  await seen(() => writeFileSync(watched, "4"));
});

test("neither the same text again nor another file is a save", async () => {
  writeFileSync(watched, "0");
  writeFileSync(path.join(dir, "other.ts"), "1");
  await seen(() => renamed("1", watched));
  expect(saves).toBe(1);
});

test("a script that nobody knows yet counts while one is missing", async () => {
  files.anyScript = true;
  await seen(() => writeFileSync(path.join(dir, "missing.ts"), "1"));
});

test("a link is saved where it points to, and files are followed to where they are", async () => {
  const elsewhere = path.join(dir, "elsewhere");
  mkdirSync(elsewhere);
  const real = path.join(elsewhere, "real.ts");
  const link = path.join(dir, "link.ts");
  writeFileSync(real, "0");
  symlinkSync(real, link);
  files.files([link]);
  await seen(() => renamed("1", real));
  writeFileSync(watched, "not watched any more");
  await seen(() => writeFileSync(real, "2"));
  expect(saves).toBe(2);
});
