/**
 * Tells when files have been saved. Editors write in place, or write another file and rename it: so directories are watched,
 * and what counts is what the files hold.
 */
import { type FSWatcher, readFileSync, realpathSync, watch } from "node:fs";
import path from "node:path";

/** One save is several events. */
const settleMs = 20;

export class FileWatch {
  readonly #onSave: (at: number) => void;
  readonly #directories = new Map<string, FSWatcher>();
  /** What each file held when it was last looked at. */
  #texts = new Map<string, string>();
  #paths = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  /** Any script that comes or changes counts: one that was missing, or an import that nobody knows yet. */
  anyScript = false;

  /** `onSave` is called when a file holds something else than before; `at` is when that was noticed, as performance.now(). */
  constructor(onSave: (at: number) => void) {
    this.#onSave = onSave;
  }

  /** What is watched from now on. Files that are gone just now are waited for; of known ones, no save is forgotten. */
  files(files: readonly string[]): void {
    const absolute = files.map((file) => path.resolve(file));
    const known = this.#texts;
    this.#texts = new Map(absolute.map((file) => [file, known.get(file) ?? textOf(file) ?? ""]));
    // A link is saved where it points to.
    this.#paths = new Set(absolute.flatMap((file) => [file, realPath(file)]));
    const wanted = new Set([...this.#paths].map((file) => path.dirname(file)));
    for (const [directory, watcher] of this.#directories) {
      if (wanted.has(directory)) continue;
      watcher.close();
      this.#directories.delete(directory);
    }
    for (const directory of wanted) {
      if (this.#directories.has(directory)) continue;
      const watcher = watch(directory, (_, name) => this.#changed(directory, name));
      watcher.on("error", () => watcher.close()); // the directory is gone, and its files with it
      this.#directories.set(directory, watcher);
    }
  }

  close(): void {
    clearTimeout(this.#timer);
    for (const watcher of this.#directories.values()) watcher.close();
    this.#directories.clear();
  }

  #changed(directory: string, name: string | null): void {
    const file = name === null ? undefined : path.join(directory, name);
    const counts =
      file === undefined || this.#paths.has(file) || (this.anyScript && /\.[cm]?[jt]s$/.test(file));
    if (!counts) return;
    clearTimeout(this.#timer);
    const at = performance.now();
    this.#timer = setTimeout(() => this.#compare(file, at), settleMs);
  }

  #compare(file: string | undefined, at: number): void {
    let changed = this.anyScript && file !== undefined && !this.#paths.has(file);
    for (const [known, before] of this.#texts) {
      const text = textOf(known);
      if (text === undefined || text === before) continue; // between two steps of a save there is no file
      this.#texts.set(known, text);
      changed = true;
    }
    if (changed) this.#onSave(at);
  }
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, "latin1"); // objects of compilers, too
  } catch {
    return undefined;
  }
}

function realPath(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}
