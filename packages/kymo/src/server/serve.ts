/**
 * Serves one trace to the browser: the page, its engine over a WebSocket, the file itself.
 *
 *     GET /?token=…        the page                 files of the page need no token: they are public
 *     WS  /engine?token=…  the engine protocol (@kymo/trace/engine, wire.ts)
 *     GET /trace?token=…   the trace file
 */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import type { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type WebSocket, WebSocketServer } from "ws";
import { UserError } from "../cli/command.ts";
import { Access, bracketed } from "./access.ts";
import type { EngineHost } from "./engine-host.ts";
import { hostInThread } from "./engine-thread.ts";
import { builtPage, type StaticFile, staticFiles } from "./static-files.ts";

export interface ServeOptions {
  /** Default: loopback only. */
  readonly host?: string;
  /** Default: any free port. */
  readonly port?: number;
  /** The page's build. Default: beside the program. */
  readonly page?: string;
  /** Default: engines in a thread, reading the file. */
  readonly engines?: EngineHost;
}
export interface TraceServer {
  /** The link with its token: all that is needed to see the trace. */
  readonly url: string;
  readonly port: number;
  /** Resolves if the trace turns out unreadable, or the engine dies, while it is served. */
  readonly broken: Promise<Error>;
  close(): Promise<void>;
}

/** A page's requests are small; SQL texts are the longest. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/** What a page has not taken yet. One that is this far behind is gone. */
const MAX_WAITING_BYTES = 512 * 1024 * 1024;

/**
 * Resolves once the trace is found readable and its link answers; it may still be loading then.
 * @throws UserError, FormatError when the file is no trace, or the address cannot be served
 */
export async function serveTrace(file: string, options: ServeOptions = {}): Promise<TraceServer> {
  const engines = options.engines ?? hostInThread(file);
  try {
    await engines.ready;
    const host = options.host ?? "127.0.0.1";
    const access = new Access(host);
    const files = await staticFiles(options.page ?? builtPage());
    const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000 });
    const sockets = new WebSocketServer({
      noServer: true,
      maxPayload: MAX_REQUEST_BYTES,
      perMessageDeflate: false,
    });
    const site: Site = { file, files, access, engines, sockets };
    server.on("request", (request, response) => void respond(site, request, response));
    server.on("upgrade", (request, socket, head) => upgrade(site, request, socket, head));
    await listen(server, host, options.port ?? 0);
    const { port } = server.address() as AddressInfo;
    return {
      url: `http://${bracketed(host)}:${port}/?token=${access.token}`,
      port,
      broken: engines.broken,
      close: () => close(server, sockets, engines),
    };
  } catch (error) {
    await engines.close();
    throw error;
  }
}

interface Site {
  readonly file: string;
  readonly files: ReadonlyMap<string, StaticFile>;
  readonly access: Access;
  readonly engines: EngineHost;
  readonly sockets: WebSocketServer;
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)));
    server.listen({ host, port, exclusive: true }, resolve);
  });
}
function listenError(error: NodeJS.ErrnoException, host: string, port: number): Error {
  switch (error.code) {
    case "EADDRINUSE":
      return new UserError(
        `port ${port} is taken by another program`,
        "choose another with --port, or leave --port out for any free one",
      );
    case "EACCES":
      return new UserError(
        `you may not listen on port ${port}`,
        "choose a port above 1023, or leave --port out",
      );
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return new UserError(
        `${host} is not an address of this machine`,
        "--host 127.0.0.1 serves this machine only, --host 0.0.0.0 its whole network",
      );
    default:
      return error;
  }
}

async function close(server: Server, sockets: WebSocketServer, engines: EngineHost): Promise<void> {
  for (const socket of sockets.clients) socket.terminate();
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeAllConnections();
  await closed;
  await engines.close();
}

/** Nothing inline, nothing from elsewhere, no eval. The socket is named: not every browser counts ws: as 'self'. */
function securityHeaders(host: string): { readonly [name: string]: string } {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "manifest-src 'self'",
    `connect-src 'self' ws://${host}`,
    "worker-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return {
    "Content-Security-Policy": policy.join("; "),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
  };
}

async function respond(
  site: Site,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const refusal = site.access.refusal(request);
  if (refusal !== undefined) return say(response, 403, refusal);
  for (const [name, value] of Object.entries(securityHeaders(request.headers.host!)))
    response.setHeader(name, value);
  if (request.method !== "GET" && request.method !== "HEAD")
    return say(response, 405, "only GET and HEAD are answered");
  const address = addressOf(request);
  if (address === undefined) return say(response, 400, "the address cannot be read");
  if (address.pathname === "/trace") {
    if (!site.access.hasToken(address)) return say(response, 403, "the link lacks its token");
    return sendTrace(site.file, request, response);
  }
  const isPage = address.pathname === "/" || address.pathname === "/index.html";
  if (isPage && !site.access.hasToken(address))
    return say(response, 403, "open the whole link that kymo printed: it carries a token");
  const file = site.files.get(address.pathname);
  if (file === undefined)
    return isPage
      ? say(response, 503, "the page is not built\n  fix: npm run build")
      : say(response, 404, "there is nothing here");
  response.writeHead(200, { "Content-Type": file.type, "Content-Length": file.bytes.length });
  response.end(request.method === "HEAD" ? undefined : file.bytes);
}

function say(response: ServerResponse, status: number, words: string): void {
  response.writeHead(status, {
    "Content-Type": "text/plain; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
  });
  response.end(`${words}\n`);
}

/** @returns undefined for a request line that names no path of ours; it is answered with 400 */
function addressOf({ url }: IncomingMessage): URL | undefined {
  return url?.startsWith("/") && URL.canParse(`http://kymo${url}`)
    ? new URL(`http://kymo${url}`)
    : undefined;
}

async function sendTrace(
  file: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    const stats = file === "-" ? undefined : await stat(file);
    if (!stats?.isFile())
      return say(response, 404, "the trace came through a pipe; it is no file that could be sent");
    response.writeHead(200, {
      "Content-Type": "application/octet-stream",
      "Content-Length": stats.size,
      "Content-Disposition": `attachment; filename*=UTF-8''${encodeURIComponent(path.basename(file))}`,
    });
    if (request.method === "HEAD") response.end();
    else if (stats.size === 0) response.end();
    else await pipeline(createReadStream(file, { end: stats.size - 1 }), response);
  } catch (error) {
    // The file went away, or the page did: the one learns it, the other does not ask any more.
    if (response.headersSent) response.destroy();
    else
      say(
        response,
        404,
        `the trace file can no longer be read (${(error as NodeJS.ErrnoException).code})`,
      );
  }
}

function upgrade(site: Site, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  socket.on("error", () => socket.destroy());
  const address = addressOf(request);
  const allowed =
    address?.pathname === "/engine" &&
    site.access.refusal(request) === undefined &&
    site.access.hasToken(address);
  if (!allowed) {
    socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    return;
  }
  site.sockets.handleUpgrade(request, socket, head, (page) => attach(site.engines, page));
}

function attach(engines: EngineHost, page: WebSocket): void {
  const engine = engines.connect(
    (bytes) => {
      if (page.readyState !== page.OPEN) return;
      if (page.bufferedAmount > MAX_WAITING_BYTES) page.terminate();
      else page.send(bytes);
    },
    () => page.close(1007, "not a message of the engine protocol"),
  );
  page.binaryType = "nodebuffer";
  page.on("message", (data, isBinary) => {
    if (isBinary) engine.handle(new Uint8Array(data as Buffer));
    else page.close(1003, "messages are binary");
  });
  page.on("error", () => page.terminate());
  page.on("close", () => engine.close());
}
