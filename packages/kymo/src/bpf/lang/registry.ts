/** What all handlers of a session share: sites, maps by the user's handles, aggregations, scratch memory. */

import { bucketCount } from "../aggregation.ts";
import type { MapKind, MapSpec } from "../ir.ts";
import type { Aggregation } from "../program.ts";
import type { Site } from "../site.ts";
import { type DataType, describeType, layoutOf, type Types } from "./data-type.ts";
import { type KeyLayout, keyLayout, shownAs } from "./keys.ts";
import { type AggregationHandle, errorAt, type MapHandle, type MapKindName } from "./session.ts";

export interface TypedMap {
  readonly spec: MapSpec;
  readonly key: DataType;
  readonly value: DataType;
}

export interface TypedAggregation {
  readonly spec: MapSpec;
  readonly aggregation: Aggregation;
  readonly key: DataType | undefined;
  readonly layout: KeyLayout;
}

const kinds: Readonly<Record<MapKindName, MapKind>> = {
  hash: "hash",
  percpuHash: "percpu-hash",
  lru: "lru-hash",
  array: "array",
  percpuArray: "percpu-array",
};

type SiteOf<T> = T extends unknown ? Omit<T, "id"> : never;

/** Of the record ring: 16 MiB hold 0.3 s of a million events a second. */
const ringBytes = 2 ** 24;
/** A u64 for each site, all in one value. */
const lossBytes = 8;
const maxKeyBytes = 512;

export class Registry {
  readonly sites: Site[] = [];
  readonly maps: MapSpec[] = [];
  readonly aggregations: Aggregation[] = [];
  readonly notes: Set<string> = new Set();
  readonly ring: MapSpec;
  /** Its size is known when all handlers are. */
  readonly losses: { -readonly [Key in keyof MapSpec]: MapSpec[Key] };
  readonly #types: Types;
  readonly #byHandle = new Map<MapHandle, TypedMap>();
  readonly #byAggregation = new Map<AggregationHandle, TypedAggregation>();
  readonly #scratch: MapSpec[] = [];

  constructor(types: Types) {
    this.#types = types;
    this.ring = this.#map("ring", "kymo_ring", 0, 0, ringBytes);
    this.losses = this.#map("array", "kymo_losses", 4, lossBytes, 1);
  }

  site(site: SiteOf<Site>): number {
    const id = this.sites.length;
    this.sites.push({ ...site, id } as Site);
    this.losses.valueBytes = lossBytes * (id + 1);
    return id;
  }

  #map(kind: MapKind, name: string, keyBytes: number, valueBytes: number, max: number): MapSpec {
    const spec: MapSpec = { kind, name, keyBytes, valueBytes, max };
    this.maps.push(spec);
    return spec;
  }

  /** A hash map of the compiler's own. */
  hash(name: string, keyBytes: number, valueBytes: number): MapSpec {
    return this.#map("hash", name, keyBytes, valueBytes, 65_536);
  }

  /** Memory of each CPU, for what is too large for the stack: the `use`th of a handler. */
  scratch(bytes: number, use: number): MapSpec {
    const found = this.#scratch[use];
    if (found !== undefined && found.valueBytes >= bytes) return found;
    const rounded = Math.ceil(bytes / 64) * 64;
    const spec = this.#map("percpu-array", `kymo_scratch${use}`, 4, rounded, 1);
    this.#scratch[use] = spec;
    return spec;
  }

  /** @throws ProbeError where the types of key and value are not written down, at the map */
  mapOf(handle: MapHandle): TypedMap {
    const found = this.#byHandle.get(handle);
    if (found !== undefined) return found;
    const { site, kind, name } = handle;
    const isArray = kind === "array" || kind === "percpuArray";
    const given = site.typeArguments.map((node) => this.#types.resolve(node, site.module));
    if (given.length !== (isArray ? 1 : 2))
      throw errorAt(
        site,
        isArray
          ? `${kind} needs the type of its values: ${kind}<u64>(…)`
          : `${kind} needs the types of its keys and values: ${kind}<u32, u64>(…)`,
      );
    const key: DataType = isArray ? { kind: "int", type: { bits: 32, signed: false } } : given[0]!;
    const value = given.at(-1)!;
    const keyBytes = layoutOf(key).bytes;
    if (keyBytes > maxKeyBytes)
      throw errorAt(
        site,
        `keys of ${name} take ${keyBytes} bytes, at most ${maxKeyBytes} are possible`,
        `${describeType(key)}: use shorter texts`,
      );
    const spec = this.#map(kinds[kind], name, keyBytes, layoutOf(value).bytes, handle.max);
    const typed = { spec, key, value };
    this.#byHandle.set(handle, typed);
    return typed;
  }

  /**
   * @param inferred the key's type by its first use, where none is written down; undefined: no key
   */
  aggregationOf(handle: AggregationHandle, inferred: DataType | undefined): TypedAggregation {
    const found = this.#byAggregation.get(handle);
    if (found !== undefined) return found;
    const { site, kind, options, buckets } = handle;
    const [written] = site.typeArguments;
    const key =
      written === undefined
        ? inferred
        : shownAs(this.#types.resolve(written, site.module), inferred);
    const hasBuckets = kind === "hist" || kind === "lhist" || kind === "quantize";
    const layout = keyLayout(key, hasBuckets);
    const valueBytes = kind === "avg" || kind === "min" || kind === "max" ? 16 : 8;
    const spec =
      key === undefined
        ? this.#map(
            "percpu-array",
            options.name,
            4,
            valueBytes,
            bucketCount({ kind, ...(buckets === undefined ? {} : { buckets }) }),
          )
        : this.#map("percpu-hash", options.name, layout.bytes, valueBytes, options.max);
    if (
      options.key !== undefined &&
      key !== undefined &&
      options.key.length !== layout.fields.length
    )
      throw errorAt(
        site,
        `${options.name}: key names ${options.key.length} parts, the key has ${layout.fields.length}`,
      );
    const aggregation: Aggregation = {
      map: spec,
      name: options.name,
      kind,
      key: layout.fields,
      ...(layout.pidAt === undefined
        ? {}
        : { pid: { type: "uint", offset: layout.pidAt, bytes: 4 } }),
      ...(options.key === undefined || key === undefined ? {} : { keyNames: options.key }),
      ...(buckets === undefined ? {} : { buckets }),
      ...(options.unit === undefined ? {} : { unit: options.unit }),
      everyNs: options.everyNs,
      ...(options.periods ? { periods: true } : {}),
    };
    this.aggregations.push(aggregation);
    const typed = { spec, aggregation, key, layout };
    this.#byAggregation.set(handle, typed);
    return typed;
  }
}
