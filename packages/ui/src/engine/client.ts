/**
 * The page's end of the engine protocol: numbers requests, matches answers, and keeps one viewport request under
 * way with only the newest one waiting behind it, so that a slow engine is never asked for views nobody sees.
 */
import {
  type EngineMessage,
  type EventDetails,
  type PageMessage,
  PROTOCOL_VERSION,
  type Strip,
  type ViewportRequest,
} from "@kymo/trace/engine";

/** Carries messages both ways; a worker, a socket, or a test's own. */
export interface EngineLink {
  post(message: PageMessage): void;
  close(): void;
  /** Tries now, if it waits to try again. */
  wake?(): void;
  /** Gives up the connection there is, and tries again. */
  reconnect?(): void;
}
export interface LinkEvents {
  message(message: EngineMessage): void;
  opened(): void;
  /** The engine is gone. `retryMs`: when the link tries again, undefined when it does not. */
  lost(reason: string, retryMs: number | undefined): void;
}
export type Connect = (events: LinkEvents) => EngineLink;

type Answer<Type extends EngineMessage["type"]> = Extract<EngineMessage, { type: Type }>;
type Waiting = { resolve(message: EngineMessage): void; reject(error: EngineError): void };
type Ask<Type extends PageMessage["type"]> = Omit<
  Extract<PageMessage, { type: Type }>,
  "type" | "id"
>;

/** A request the engine refused; `hint` says what to do. */
export class EngineError extends Error {
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

export class EngineClient {
  onMessage: (message: EngineMessage) => void = () => {};
  onStrip: (strip: Strip, requestedAt: number) => void = () => {};
  onLost: (reason: string, retryMs: number | undefined) => void = () => {};
  onOpened: () => void = () => {};
  private readonly link: EngineLink;
  private readonly waiting = new Map<number, Waiting>();
  private nextId = 1;
  private viewportUnderWay: { id: number; at: number } | undefined;
  private viewportNext: ViewportRequest | undefined;

  constructor(connect: Connect) {
    this.link = connect({
      message: (message) => this.take(message),
      opened: () => {
        this.viewportUnderWay = undefined;
        this.link.post({ type: "hello", version: PROTOCOL_VERSION });
        this.onOpened();
      },
      lost: (reason, retryMs) => {
        this.viewportUnderWay = undefined;
        for (const { reject } of this.waiting.values()) reject(new EngineError(reason, ""));
        this.waiting.clear();
        this.onLost(reason, retryMs);
      },
    });
  }

  close(): void {
    this.link.close();
  }
  wake(): void {
    this.link.wake?.();
  }
  reconnect(): void {
    this.link.reconnect?.();
  }
  /** Asks to be told again all that the engine tells unasked. */
  hello(): void {
    this.link.post({ type: "hello", version: PROTOCOL_VERSION });
  }
  open(what: { name: string; file?: Blob; url?: string }): void {
    this.link.post({ type: "open", ...what });
  }
  stop(): void {
    this.link.post({ type: "stop" });
  }

  /** Wanted now; replaces one that still waits. The answer comes to `onStrip`. */
  viewport(request: ViewportRequest, now: number): void {
    // An engine that lost a request must not freeze the picture for good.
    if (this.viewportUnderWay && now - this.viewportUnderWay.at < 3000) {
      this.viewportNext = request;
      return;
    }
    const id = this.nextId++;
    this.viewportUnderWay = { id, at: now };
    this.viewportNext = undefined;
    this.link.post({ type: "viewport", id, ...request });
  }

  at(ask: Ask<"at">): Promise<EventDetails | undefined> {
    return this.ask<"at">((id) => ({ type: "at", id, ...ask })).then((answer) => answer.hit);
  }
  details(ask: Ask<"details">): Promise<EventDetails | undefined> {
    return this.ask<"details">((id) => ({ type: "details", id, ...ask })).then((a) => a.details);
  }
  step(ask: Ask<"step">): Promise<EventDetails | undefined> {
    return this.ask<"step">((id) => ({ type: "step", id, ...ask })).then((a) => a.details);
  }
  search(ask: Ask<"search">): Promise<Answer<"search">> {
    return this.ask<"search">((id) => ({ type: "search", id, ...ask }));
  }
  minimap(ask: Ask<"minimap">): Promise<Answer<"minimap">> {
    return this.ask<"minimap">((id) => ({ type: "minimap", id, ...ask }));
  }
  flame(ask: Ask<"flame">): Promise<Answer<"flame">> {
    return this.ask<"flame">((id) => ({ type: "flame", id, ...ask }));
  }
  area(ask: Ask<"area">): Promise<Answer<"area">> {
    return this.ask<"area">((id) => ({ type: "area", id, ...ask }));
  }
  sql(ask: Ask<"sql">): Promise<Answer<"sql">> {
    return this.ask<"sql">((id) => ({ type: "sql", id, ...ask }));
  }

  private ask<Type extends EngineMessage["type"]>(
    make: (id: number) => PageMessage,
  ): Promise<Answer<Type>> {
    const id = this.nextId++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve: (message) => resolve(message as Answer<Type>), reject });
      this.link.post(make(id));
    });
  }

  private take(message: EngineMessage): void {
    if (message.type === "strip") {
      this.takeStrip(message);
      return;
    }
    if ("id" in message && message.id !== undefined) {
      if (message.id === this.viewportUnderWay?.id) this.nextViewport();
      const waiting = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      if (message.type === "error") waiting?.reject(new EngineError(message.message, message.hint));
      else waiting?.resolve(message);
      return;
    }
    this.onMessage(message);
  }

  private takeStrip(strip: Strip): void {
    if (strip.id !== this.viewportUnderWay?.id) return;
    const requestedAt = this.viewportUnderWay.at;
    this.nextViewport();
    this.onStrip(strip, requestedAt);
  }

  private nextViewport(): void {
    const next = this.viewportNext;
    this.viewportUnderWay = undefined;
    this.viewportNext = undefined;
    if (next) this.viewport(next, performance.now());
  }
}
