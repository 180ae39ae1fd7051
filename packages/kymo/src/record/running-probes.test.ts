import { expect, test } from "vitest";
import { UserError } from "../cli/command.ts";
import type { ProbeRequest } from "../sources/bpf/request.ts";
import type { ProbeSession } from "./probes.ts";
import { type ProbeDrain, RunningProbes } from "./running-probes.ts";

/** Writes down what happens, in order. */
function scene() {
  const told: string[] = [];
  const session = (name: string, refusal?: string): ProbeSession => ({
    sources: [],
    files: [],
    notes: [],
    request: { ringFd: 0 } as ProbeRequest,
    begin: (onCosts) => {
      if (refusal !== undefined) throw new UserError(refusal);
      told.push(`attach ${name}`);
      onCosts([{ label: "p", runs: 1, ns: 10 }]);
    },
    end: () => {
      told.push(`detach ${name}`);
      return [{ label: "p", runs: 2, ns: 20 }];
    },
    close: () => void told.push(`close ${name}`),
  });
  const drain: ProbeDrain = {
    add: async (version) => void told.push(`drain ${version}`),
    retire: async (version) => void told.push(`retire ${version}`),
    discard: async (version) => void told.push(`discard ${version}`),
    costs: (costs) => void told.push(`costs ${costs.map(({ runs }) => runs).join()}`),
  };
  const probes = new RunningProbes(session("a"), drain);
  probes.begin();
  told.length = 0;
  return { told, session, drain, probes };
}

test("the next version is drained and attached before the last is detached, and what that has cost is not forgotten", async () => {
  const { told, session, probes } = scene();
  expect(await probes.replace(session("b"))).toBe(true);
  expect(told).toEqual(["drain 1", "attach b", "costs 1", "detach a", "retire 0", "close a"]);
  told.length = 0;
  expect(await probes.replace(session("c"))).toBe(true);
  expect(told).toEqual(["drain 2", "attach c", "costs 3", "detach b", "retire 1", "close b"]);
  told.length = 0;
  expect(probes.end()).toEqual([{ label: "p", runs: 6, ns: 60 }]);
  probes.close();
  expect(told).toEqual(["detach c", "close c"]);
});

test("a version that can't be attached leaves the one before it as it was", async () => {
  const { told, session, probes } = scene();
  await expect(probes.replace(session("b", "no such function"))).rejects.toThrow(
    "no such function",
  );
  expect(told).toEqual(["drain 1", "discard 1", "close b"]);
  told.length = 0;
  await probes.replace(session("c"));
  expect(told).toEqual(["drain 2", "attach c", "costs 1", "detach a", "retire 0", "close a"]);
});

test("a recording that ends while a version is about to be attached attaches it no more", async () => {
  const { told, session, drain, probes } = scene();
  drain.add = async () => {
    probes.end();
  };
  expect(await probes.replace(session("b"))).toBe(false);
  probes.close();
  expect(told).toEqual(["detach a", "close a", "close b"]);
  expect(await probes.replace(session("c"))).toBe(false);
  expect(told.at(-1)).toBe("close c");
});
