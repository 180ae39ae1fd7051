/** Records that found the ring full, by site: the programs count them in the one value of an array map. */
import type { Ns, TraceSink } from "@kymo/trace";
import type { Bpf } from "../../bpf/kernel/bpf.ts";
import type { Site } from "../../bpf/site.ts";

const readIntervalNs = 100_000_000;

export class Losses {
  /** Records lost so far, of all sites. */
  total = 0;
  readonly #bpf: Pick<Bpf, "lookup">;
  readonly #sink: TraceSink;
  readonly #fd: number;
  readonly #sites: { readonly id: number; readonly label: string; lost: number }[];
  readonly #key = new Uint8Array(4);
  readonly #counts: BigUint64Array;
  #readNs = 0;

  constructor(bpf: Pick<Bpf, "lookup">, sink: TraceSink, fd: number, sites: readonly Site[]) {
    this.#bpf = bpf;
    this.#sink = sink;
    this.#fd = fd;
    this.#sites = sites.map(({ id, label }) => ({ id, label, lost: 0 }));
    // Without sites the map has room for one all the same.
    this.#counts = new BigUint64Array(Math.max(1, sites.length));
  }

  /** Reads the counts, ten times a second at most. */
  round(ts: Ns): void {
    if (ts - this.#readNs >= readIntervalNs) this.read(ts);
  }

  /** What was lost since the last time becomes a problem for each site, with its interval. */
  read(ts: Ns): void {
    const from = this.#readNs as Ns;
    this.#readNs = ts;
    if (!this.#bpf.lookup(this.#fd, this.#key, new Uint8Array(this.#counts.buffer))) return;
    const byLabel = new Map<string, number>();
    for (const site of this.#sites) {
      const now = Number(this.#counts[site.id]!);
      if (now <= site.lost) continue;
      byLabel.set(site.label, (byLabel.get(site.label) ?? 0) + now - site.lost);
      site.lost = now;
    }
    for (const [label, count] of byLabel) {
      this.total += count;
      this.#sink.problem({
        kind: "lost-events",
        count,
        from,
        to: ts,
        message: `the probes' ring buffer was full at ${label}; raise --buffer-mb`,
      });
    }
  }
}
