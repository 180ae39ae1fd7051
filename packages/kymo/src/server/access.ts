/**
 * Who may ask: only pages of this server, with the link's token. The Host header must name this machine as it was
 * told to serve (else another site's name was pointed at us: DNS rebinding), and a page of another origin is refused.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { hostname, networkInterfaces } from "node:os";

const loopback = ["127.0.0.1", "localhost", "[::1]"];

export class Access {
  readonly token: string = randomBytes(24).toString("base64url");
  readonly #digest = digest(this.token);
  readonly #hosts: ReadonlySet<string>;

  /** `host`: the address that is listened on. */
  constructor(host: string) {
    this.#hosts = new Set(namesOf(host).map((name) => name.toLowerCase()));
  }

  /** Why the request is refused whatever it asks for; undefined when it is not. */
  refusal(request: IncomingMessage): string | undefined {
    const { host, origin } = request.headers;
    if (host === undefined || !this.#hosts.has(nameIn(host)))
      return "this server does not answer to that name";
    if (origin !== undefined && origin !== `http://${host}`)
      return "pages of other sites may not ask here";
    return undefined;
  }

  /** The request's address carries the token. Compared in constant time. */
  hasToken(address: URL): boolean {
    const given = address.searchParams.get("token");
    return given !== null && timingSafeEqual(digest(given), this.#digest);
  }
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** "localhost:80" → "localhost", "[::1]:80" → "[::1]": ports may differ behind a forwarded port. */
function nameIn(host: string): string {
  return host.replace(/:\d+$/, "").toLowerCase();
}

function namesOf(host: string): string[] {
  if (host === "0.0.0.0" || host === "::") {
    const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
    return [...loopback, hostname(), ...own.map(({ address }) => bracketed(address))];
  }
  const name = bracketed(host);
  return loopback.includes(name) ? loopback : [name];
}

/** An IPv6 address as it stands in a URL. */
export function bracketed(host: string): string {
  return host.includes(":") && !host.startsWith("[") ? `[${host.split("%")[0]}]` : host;
}
