/** What goes through TLS before it is encrypted and after: sizes only, never the contents. */
import { type i32, span, type u64, uprobe } from "kymo/probe";

const library = "libssl";

uprobe(library, "SSL_write", (ssl: u64, _buffer: u64, length: i32) =>
  span({ name: "SSL_write", category: "tls", args: { connection: ssl, bytes: length } }),
);
uprobe(library, "SSL_read", (ssl: u64, _buffer: u64, _room: i32) =>
  span({
    name: "SSL_read",
    category: "tls",
    args: { connection: ssl },
    end: (ret: i32) => ({ bytes: ret }),
  }),
);
