/** The thread that holds a trace and its engines; engine-thread.ts is the other end. */
import { parentPort, workerData } from "node:worker_threads";
import type { EngineConnection } from "./engine-host.ts";
import { hostFile, hostLive } from "./engine-host.ts";
import type { FromThread, ThreadData, ToThread } from "./engine-thread.ts";

const port = parentPort!;
const data = workerData as ThreadData;
const host = "file" in data ? await hostFile(data.file) : hostLive(data.name, data.feed);
const pages = new Map<number, EngineConnection>();

function tell(message: FromThread, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}
function tellFailure(type: "unreadable" | "broken", error: Error): void {
  const { fix } = error as { fix?: unknown };
  tell({ type, message: error.message, fix: typeof fix === "string" ? fix : undefined });
}

port.on("message", (message: ToThread) => {
  switch (message.type) {
    case "connect": {
      const { page } = message;
      pages.set(
        page,
        host.connect(
          (bytes) => tell({ type: "answer", page, bytes }, [bytes.buffer]),
          () => tell({ type: "hangUp", page }),
        ),
      );
      break;
    }
    case "message":
      pages.get(message.page)?.handle(message.bytes);
      break;
    case "disconnect":
      pages.get(message.page)?.close();
      pages.delete(message.page);
      break;
    case "close":
      void host.close().then(() => port.close());
      break;
  }
});

host.ready.then(
  () => tell({ type: "ready" }),
  (error: Error) => tellFailure("unreadable", error),
);
void host.broken.then((error) => tellFailure("broken", error));
