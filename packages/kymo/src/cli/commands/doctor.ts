import { type Check, groups } from "../../doctor/check.ts";
import { fileChecks, machineChecks } from "../../doctor/machine.ts";
import { recordChecks } from "../../doctor/perf-probes.ts";
import { probeChecks } from "../../doctor/probes.ts";
import { reportText } from "../../doctor/report.ts";
import { nameChecks, rightsChecks } from "../../doctor/rights.ts";
import { type Flags, helpFlags, parseFlags } from "../arguments.ts";
import { type Command, UsageError } from "../command.ts";

const flags = {
  json: { type: "boolean", help: "print the checks as JSON" },
} as const satisfies Flags;

export const command: Command = {
  summary: "What can be recorded on this machine, and how to enable the rest",
  help: `Usage: kymo doctor [--json]

Tries what recordings need, changes nothing, and says what is missing and how to get it.

${helpFlags(flags)}

  ✓ works   ✗ does not, with the reason and the fix   · how it is
  More about rights: docs/permissions.md`,
  run: async (args) => {
    const { values, positionals } = parseFlags(flags, args);
    if (positionals.length > 0) throw new UsageError(`kymo doctor takes no ${positionals[0]}`);
    const checks = await allChecks();
    console.log(values.json ? JSON.stringify(inJson(checks), null, 2) : `${inText(checks)}`);
    return 0;
  },
};

async function allChecks(): Promise<readonly Check[]> {
  const isLinux = process.platform === "linux";
  return [
    ...machineChecks(),
    ...(isLinux ? rightsChecks() : []),
    ...(await recordChecks()),
    ...(isLinux ? await probeChecks() : []),
    ...(isLinux ? nameChecks() : []),
    ...(await fileChecks(process.cwd())),
  ];
}

function inText(checks: readonly Check[]): string {
  const columns = Math.min(120, process.stdout.columns ?? 100);
  return `${reportText(checks, columns)}\n\n${summary(checks)}`;
}

/** The one sentence to read. */
function summary(checks: readonly Check[]): string {
  const recorded = checks.filter((check) => check.group === groups.record);
  const works = (name: string): boolean =>
    recorded.some((check) => check.name === name && check.ok === true);
  if (works("samples of every process") && works("scheduling of every process"))
    return "kymo record can see everything on this machine.";
  if (works("samples of every process"))
    return "kymo record can sample every process; scheduling and system calls need the fixes above.";
  if (works("user-space samples of yours"))
    return "kymo record works for processes of your own; with sudo it sees the whole system.";
  if (process.platform !== "linux")
    return "kymo record needs Linux; kymo open, query and convert work here.";
  return "kymo record does not work here yet: see the fixes above. kymo open, query and convert need none of them.";
}

function inJson(checks: readonly Check[]): unknown {
  return { schema: 1, summary: summary(checks), checks };
}
