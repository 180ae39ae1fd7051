/** Engines in a thread of their own, so that sockets are served while a file is read or a query runs. */
import { type MessagePort, Worker } from "node:worker_threads";
import { UserError } from "../cli/command.ts";
import type { EngineHost } from "./engine-host.ts";

export type ThreadData =
  | { readonly file: string }
  /** A recording that is being made: its batches come through `feed`. */
  | { readonly name: string; readonly feed: MessagePort };
export type ToThread =
  | { readonly type: "connect" | "disconnect"; readonly page: number }
  | { readonly type: "message"; readonly page: number; readonly bytes: Uint8Array }
  | { readonly type: "close" };
export type FromThread =
  | { readonly type: "ready" }
  | { readonly type: "answer"; readonly page: number; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly type: "hangUp"; readonly page: number }
  | {
      readonly type: "unreadable" | "broken";
      readonly message: string;
      readonly fix: string | undefined;
    };

/** How long a thread may take to end by itself. */
const CLOSE_MS = 2000;

/** As `hostFile`, in a thread. */
export function hostInThread(file: string): EngineHost {
  return hostThread({ file }, []);
}

/** As `hostLive`, in a thread. The other end of `feed` belongs to the capture. */
export function hostLiveInThread(name: string, feed: MessagePort): EngineHost {
  return hostThread({ name, feed }, [feed]);
}

function hostThread(data: ThreadData, transferList: MessagePort[]): EngineHost {
  const worker = new Worker(new URL("./engine.worker.js", import.meta.url), {
    workerData: data,
    transferList,
    name: "kymo engine",
  });
  const pages = new Map<number, { send(bytes: Uint8Array<ArrayBuffer>): void; hangUp(): void }>();
  let nextPage = 1;
  let closing = false;
  const ended = new Promise<void>((resolve) => worker.once("exit", () => resolve()));
  const post = (message: ToThread): void => worker.postMessage(message);
  let resolveBroken: (error: Error) => void;
  const broken = new Promise<Error>((resolve) => {
    resolveBroken = resolve;
  });
  const ready = new Promise<void>((resolve, reject) => {
    worker.on("message", (message: FromThread) => {
      if (message.type === "answer") pages.get(message.page)?.send(message.bytes);
      else if (message.type === "hangUp") pages.get(message.page)?.hangUp();
      else if (message.type === "ready") resolve();
      else {
        const error = new UserError(message.message, message.fix);
        if (message.type === "unreadable") reject(error);
        else resolveBroken(error);
      }
    });
    worker.once("error", (error: Error) => {
      const words = died(error);
      reject(words);
      resolveBroken(words);
    });
    worker.once("exit", () => {
      if (!closing) resolveBroken(died(undefined));
      for (const page of pages.values()) page.hangUp();
      pages.clear();
    });
  });
  ready.catch(() => {}); // looked at by whoever serves
  return {
    ready,
    broken,
    connect(send, hangUp) {
      const page = nextPage++;
      pages.set(page, { send, hangUp });
      post({ type: "connect", page });
      return {
        handle: (bytes) => post({ type: "message", page, bytes }),
        close: () => {
          pages.delete(page);
          post({ type: "disconnect", page });
        },
      };
    },
    async close() {
      closing = true;
      post({ type: "close" });
      const timer = setTimeout(() => void worker.terminate(), CLOSE_MS);
      await ended;
      clearTimeout(timer);
    },
  };
}

function died(error: Error | undefined): Error {
  const { code } = (error ?? {}) as { code?: unknown };
  if (code === "ERR_WORKER_OUT_OF_MEMORY")
    return new UserError(
      "the trace does not fit into memory",
      "NODE_OPTIONS=--max-old-space-size=8192 kymo open …, or record less",
    );
  // A defect of ours keeps its stack for the report.
  return error ?? new UserError("the engine ended unexpectedly", "open the file again");
}
