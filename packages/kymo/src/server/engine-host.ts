/**
 * Engines over one trace: a file, read once, or a recording while it is made. Every page gets an engine of its own. Runs
 * in a thread (engine.worker.ts) for `kymo open` and `--live`, or in this one for tests.
 */
import { stat } from "node:fs/promises";
import { totalmem } from "node:os";
import path from "node:path";
import { setImmediate } from "node:timers";
import type { MessagePort } from "node:worker_threads";
import { type FeedMessage, FormatError } from "@kymo/trace";
import {
  decodeMessage,
  Engine,
  encodeMessage,
  LiveView,
  type OpenTrace,
  type PageMessage,
  ProtocolError,
  type SqlAnswer,
  startLoading,
} from "@kymo/trace/engine";
import { UserError } from "../cli/command.ts";
import { readTraceFile } from "../files/open.ts";
import type { PlainValue } from "../query/values.ts";

/** One page's line to its engine, in encoded messages. */
export interface EngineConnection {
  handle(bytes: Uint8Array): void;
  close(): void;
}
export interface EngineHost {
  /** Resolves when there is something to show, or soon; rejects when the file cannot be read at all. */
  readonly ready: Promise<void>;
  /** Resolves if, later than that, the file turns out to be no trace, or the engine dies. */
  readonly broken: Promise<Error>;
  /** `hangUp` is called when the page sent bytes that are no message, or the engine is gone. */
  connect(send: (bytes: Uint8Array<ArrayBuffer>) => void, hangUp: () => void): EngineConnection;
  close(): Promise<void>;
}

/** Pages are served after this long even when nothing has been read: a pipe may be slow. */
const READY_MS = 3000;
const SQL_ROWS = 10_000;
const defer = (task: () => void): void => void setImmediate(task);

/** @throws UserError when there is no such file, or it is none */
export async function hostFile(file: string): Promise<EngineHost> {
  const totalBytes = await sizeOf(file);
  let isNoTrace = false;
  const { open, loaded } = startLoading({
    name: file === "-" ? "standard input" : path.basename(file),
    totalBytes,
    read: async (sink, options) => {
      try {
        return await readTraceFile(file, sink, options);
      } catch (error) {
        isNoTrace = error instanceof FormatError;
        throw error;
      }
    },
    defer,
  });
  const failed = loaded.then(() => failureOf(open, isNoTrace));
  let forget = (): void => {};
  const ready = new Promise<void>((resolve, reject) => {
    // A reader has taken the first part of the file: it is a trace.
    const unsubscribe = open.onChange(() => open.bytes > 0 && open.loading && resolve());
    const late = setTimeout(resolve, READY_MS);
    forget = () => {
      clearTimeout(late);
      unsubscribe();
    };
    void failed.then((error) => {
      forget();
      if (error === undefined) resolve();
      else reject(error);
    });
  });
  // Whoever serves may look at `ready` later than it settles.
  ready.catch(() => {});
  return {
    ready,
    broken: new Promise((resolve) => {
      failed.then((error) => {
        if (error !== undefined) resolve(error);
      });
    }),
    ...pagesOf(open, async () => {
      forget();
      open.stop();
      await loaded;
    }),
  };
}

/** What the engine's thread of a live view may take, of this machine's memory. */
const LIVE_MEMORY_SHARE = 0.4;
const LIVE_MEMORY_MAX = 4 * 2 ** 30;

/** Shows what comes through `feed` (live/feed.ts) until it is closed, and keeps it. */
export function hostLive(name: string, feed: MessagePort): EngineHost {
  const view = new LiveView({
    name,
    post: (message) => feed.postMessage(message),
    memoryBytes: () => {
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    },
    maxBytes: Math.min(LIVE_MEMORY_MAX, LIVE_MEMORY_SHARE * totalmem()),
    defer,
  });
  feed.on("message", (message: FeedMessage) => view.take(message));
  feed.once("close", () => view.end());
  return {
    ready: Promise.resolve(),
    broken: new Promise(() => {}),
    ...pagesOf(view.open, async () => feed.close()),
  };
}

/** The engines of the pages that look at one trace. */
function pagesOf(
  open: OpenTrace,
  stop: () => Promise<void>,
): Pick<EngineHost, "connect" | "close"> {
  const engines = new Set<Engine>();
  const database = new LazyDatabase(open);
  return {
    connect(send, hangUp) {
      const engine = new Engine({
        kind: "server",
        opened: open,
        post: (message) => send(encodeMessage(message)),
        sql: (_open, sql) => database.query(sql),
        defer,
      });
      engines.add(engine);
      return {
        handle: (bytes) => {
          const message = decoded(bytes);
          if (message === undefined) hangUp();
          else engine.handle(message);
        },
        close: () => {
          engine.close();
          engines.delete(engine);
        },
      };
    },
    async close() {
      for (const engine of engines) engine.close();
      engines.clear();
      await stop();
      await database.close();
    },
  };
}

/** @returns undefined for bytes that are no message: whoever speaks there is no page of ours */
function decoded(bytes: Uint8Array): PageMessage | undefined {
  try {
    return decodeMessage(bytes) as PageMessage; // the engine checks every field
  } catch (error) {
    if (error instanceof ProtocolError) return undefined;
    throw error;
  }
}

/** @returns undefined for what can be shown, if only in part: a disk that failed half-way, but not what is no trace */
function failureOf(open: OpenTrace, isNoTrace: boolean): Error | undefined {
  if (open.error === undefined || (open.trace.length > 0 && !isNoTrace)) return undefined;
  return new UserError(open.error.message, open.error.hint === "" ? undefined : open.error.hint);
}

async function sizeOf(file: string): Promise<number> {
  if (file === "-") return 0;
  try {
    const stats = await stat(file);
    return stats.isFile() ? stats.size : 0;
  } catch {
    return 0; // reading it says what is wrong
  }
}

/** DuckDB over the trace, loaded when the first query comes. */
class LazyDatabase {
  readonly #open: OpenTrace;
  #database: Promise<import("../query/database.ts").QueryDatabase> | undefined;

  constructor(open: OpenTrace) {
    this.#open = open;
  }
  async query(sql: string): Promise<SqlAnswer> {
    this.#database ??= import("../query/database.ts").then(({ openDatabase }) =>
      openDatabase(this.#open.trace),
    );
    const { columns, rows, truncated } = await (await this.#database).query(sql, SQL_ROWS);
    return {
      columns: columns.map(({ name }) => name),
      rows: rows.map((row) => row.map(cell)),
      truncated,
    };
  }
  async close(): Promise<void> {
    // A database that could not be opened was reported to the page that asked.
    await this.#database?.then((database) => database.close()).catch(() => {});
  }
}

/** A value as a table cell. Integers past 2⁵³ and what JSON cannot say become text. */
function cell(value: PlainValue): string | number | null {
  if (value === null || typeof value === "number" || typeof value === "string") return value;
  if (typeof value === "bigint" || typeof value === "boolean") return String(value);
  if (value instanceof Uint8Array) return `x'${Buffer.from(value).toString("hex")}'`;
  return JSON.stringify(value, (_, member: unknown) =>
    typeof member === "bigint" ? member.toString() : member,
  );
}
