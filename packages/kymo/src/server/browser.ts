/** Opens a link in the user's browser, where there is one to open. */
import { spawn } from "node:child_process";

/** @returns false when this machine shows no desktop. A browser that fails to start is not an error: the link is printed. */
export function openBrowser(url: string): boolean {
  const command = openerFor(process.platform, process.env);
  if (command === undefined) return false;
  const [program, ...args] = command;
  const child = spawn(program!, [...args, url], { stdio: "ignore", detached: true });
  child.on("error", () => {}); // no such program: the printed link remains
  child.unref();
  return true;
}

export function openerFor(
  platform: NodeJS.Platform,
  env: { readonly [name: string]: string | undefined },
): readonly string[] | undefined {
  if (platform === "darwin") return ["open"];
  // `start` is the shell's own and would split the link at "&"; this takes it whole.
  if (platform === "win32") return ["rundll32", "url.dll,FileProtocolHandler"];
  const { DISPLAY: x11, WAYLAND_DISPLAY: wayland } = env;
  return x11 || wayland ? ["xdg-open"] : undefined;
}
