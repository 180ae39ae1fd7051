/** The two ways to an engine: a module worker of our own, or the server's WebSocket. */
import { decodeMessage, type EngineMessage, encodeMessage } from "@kymo/trace/engine";
import type { Connect } from "./client.ts";

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 8000;

/** Served by `kymo open` (there is a token in the address): its socket. Otherwise a worker of this page. */
export function connectFor(address: URL): Connect {
  const token = address.searchParams.get("token");
  if (token === null) return connectWorker;
  const socket = new URL("engine", address);
  socket.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  socket.search = `?token=${encodeURIComponent(token)}`;
  socket.hash = "";
  return connectSocket(socket);
}

const connectWorker: Connect = (events) => {
  const worker = new Worker(new URL("../engine.worker.ts", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }: MessageEvent<EngineMessage>) => events.message(data);
  worker.onerror = (event) =>
    events.lost(event.message || "the engine's worker could not start", undefined);
  // A worker queues what is posted before it has loaded; `opened` must come after this function has returned.
  queueMicrotask(() => events.opened());
  return { post: (message) => worker.postMessage(message), close: () => worker.terminate() };
};

function connectSocket(address: URL): Connect {
  return (events) => {
    let socket: WebSocket;
    let retryMs = FIRST_RETRY_MS;
    let closed = false;
    let retry: ReturnType<typeof setTimeout> | undefined;
    const open = () => {
      retry = undefined;
      socket = new WebSocket(address);
      socket.binaryType = "arraybuffer";
      socket.onopen = () => {
        retryMs = FIRST_RETRY_MS;
        events.opened();
      };
      socket.onmessage = ({ data }: MessageEvent<ArrayBuffer | string>) => {
        if (typeof data === "string") return;
        events.message(decodeMessage(new Uint8Array(data)) as EngineMessage);
      };
      socket.onclose = () => {
        if (closed) return;
        events.lost("the connection to kymo was lost", retryMs);
        retry = setTimeout(open, retryMs);
        retryMs = Math.min(LAST_RETRY_MS, retryMs * 2);
      };
    };
    open();
    return {
      post: (message) => {
        if (socket.readyState === WebSocket.OPEN) socket.send(encodeMessage(message));
      },
      close: () => {
        closed = true;
        socket.close();
      },
      wake: () => {
        if (retry === undefined) return;
        clearTimeout(retry);
        open();
      },
      // A peer that is gone never answers the closing: it is not waited for.
      reconnect: () => {
        if (closed || retry !== undefined) return;
        socket.onclose = null;
        socket.onmessage = null;
        socket.close();
        events.lost("the connection to kymo was lost", 0);
        open();
      },
    };
  };
}
