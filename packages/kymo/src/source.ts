import type { TraceSink } from "@kymo/trace";

export type Availability =
  | { readonly ok: true; readonly note?: string }
  | { readonly ok: false; readonly reason: string; readonly fix: string };

/** What a folder under sources/ exports as `source`. */
export interface Source<Options = unknown> {
  readonly name: string;
  readonly title: string;
  /** Flags of `kymo record`; also the help text and the docs table. */
  readonly options: OptionTable<Options>;
  /** Looks, never changes anything: kernel config, capabilities, tools on PATH. */
  available(): Promise<Availability>;
  /**
   * Resolves once events can no longer be missed. `sink` is where decoding happens: for a source that
   * drains a ring in a worker it is the worker's end of an EventBatch channel.
   */
  start(options: Options, sink: TraceSink): Promise<Capture>;
}
export interface Capture {
  /** Settles when the traced program ends by itself. */
  readonly ended: Promise<void>;
  /** Detaches, drains, reports losses to the sink. Safe to call twice. Does not close the sink. */
  stop(): Promise<void>;
}
export type OptionTable<Options> = {
  readonly [Key in keyof Options]-?: { readonly help: string; readonly default?: Options[Key] };
};
