/** Arguments: nested, as text and nothing else. */

import type { ArgValue } from "@kymo/trace";
import { cutText } from "../words.ts";

export function argText(value: ArgValue): string {
  if (value instanceof Uint8Array) {
    const head = [...value.subarray(0, 32)].map((byte) => byte.toString(16).padStart(2, "0"));
    return `${head.join(" ")}${value.length > 32 ? ` … (${value.length} bytes)` : ""}`;
  }
  if (typeof value === "object") return JSON.stringify(value, plain)?.slice(0, 300) ?? "";
  return String(value);
}

export function Args({ args }: { args: { readonly [key: string]: ArgValue } }) {
  return (
    <dl class="args">
      {Object.entries(args).map(([key, value]) => (
        <Arg key={key} name={key} value={value} />
      ))}
    </dl>
  );
}

function Arg({ name, value }: { name: string; value: ArgValue }) {
  const nested = typeof value === "object" && !(value instanceof Uint8Array);
  return (
    <>
      <dt>{cutText(name, 300)}</dt>
      <dd>
        {nested ? (
          <Args args={value as { readonly [key: string]: ArgValue }} />
        ) : (
          cutText(argText(value), 4000)
        )}
      </dd>
    </>
  );
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  return value instanceof Uint8Array ? argText(value) : value;
}
