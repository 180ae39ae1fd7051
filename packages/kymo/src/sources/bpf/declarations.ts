/**
 * Probes that replace each other go on with what the ones before them have declared: the same tracks, the same tables.
 */
import { type EventTypeInfo, forward, type TraceSink, type TrackInfo } from "@kymo/trace";

export class Declarations {
  readonly #known = new Map<string, unknown>();

  /**
   * The sink for one version. What it declares as the one before it did, has the same id: the first of two tracks with the same
   * name is the first one's, the second the second one's. A type with other fields is another one.
   */
  forVersion(sink: TraceSink): TraceSink {
    const used = new Map<string, number>();
    const once = <Id>(what: string, declare: () => Id): Id => {
      const before = used.get(what) ?? 0;
      used.set(what, before + 1);
      const key = `${before} ${what}`;
      const known = this.#known.get(key) as Id | undefined;
      if (known !== undefined) return known;
      const id = declare();
      this.#known.set(key, id);
      return id;
    };
    return {
      ...forward(sink),
      track: (info: TrackInfo) => once(JSON.stringify(info), () => sink.track(info)),
      eventType: (info: EventTypeInfo) => once(JSON.stringify(info), () => sink.eventType(info)),
    };
  }
}
