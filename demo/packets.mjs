/**
 * Orders and the stock that answers them, for scripts/demo-packets.mjs. Three processes send orders to one, over TCP; each
 * send is marked (docs/marks.md). After 1.2 s the network stalls for 200 ms.
 *
 *     node demo/packets.mjs run [ORDERS-NETNS STOCK-NETNS]      all of it; without namespaces on the loopback device
 *     node demo/packets.mjs stock                               answers
 *     node demo/packets.mjs orders PORT HOST                    sends from that port
 */
import { execFileSync, spawn } from "node:child_process";
import { accessSync } from "node:fs";
import net from "node:net";
import { fileURLToPath } from "node:url";

const ports = [41001, 41002, 41003];
const stockPort = 7000;
const everyMs = 12;
const lastsMs = 2400;
const stallAtMs = 1200;
const stallMs = 200;
/** The queue of the orders' device: a bucket of tokens, filled fast enough not to matter, or hardly at all. */
const open = "root tbf rate 1gbit burst 20kb limit 1mb".split(" ");
const stalled = "root tbf rate 8kbit burst 1600 limit 1mb".split(" ");
/** An order is as long as orders are. */
const note = "to be delivered before noon; ".repeat(12);

/** A mark: a system call that asks for a file that nobody has. */
function mark(what) {
  try {
    accessSync(`kymo:${what}`);
  } catch {}
}

const [role, ...args] = process.argv.slice(2);
// Whoever started this is gone: so is the reason for it.
if (role !== "run") process.stdin.resume().on("end", () => process.exit()).unref();
if (role === "stock") stock();
else if (role === "orders") orders(Number(args[0]), args[1]);
else if (role === "run") await run(args[0], args[1]);

function stock() {
  process.title = "stock";
  const server = net.createServer((socket) => {
    let text = "";
    socket.setNoDelay(true).on("data", (chunk) => {
      text += chunk;
      const lines = text.split("\n");
      text = lines.pop();
      for (const line of lines) {
        const { number } = JSON.parse(line);
        socket.write(`${JSON.stringify({ number, left: 1000 - number })}\n`);
      }
    });
    socket.on("error", () => {}); // an orders process that has ended
  });
  server.listen(stockPort, () => console.log("ready"));
}

function orders(port, host) {
  process.title = `orders-${port}`;
  let number = 0;
  const socket = net.connect({ port: stockPort, host, localPort: port }, () => {
    const timer = setInterval(() => {
      number++;
      mark(`start:send ${number}`);
      socket.write(`${JSON.stringify({ number, article: "teapot", note })}\n`);
      mark("stop");
    }, everyMs);
    setTimeout(() => {
      clearInterval(timer);
      socket.end();
    }, lastsMs);
  });
  socket.setNoDelay(true).resume();
}

async function run(ordersSpace, stockSpace) {
  process.title = "demo";
  const start = (space, ...args) => {
    const command = [process.execPath, fileURLToPath(import.meta.url), ...args];
    const [file, ...rest] =
      space === undefined ? command : ["ip", "netns", "exec", space, ...command];
    return spawn(file, rest, { stdio: ["pipe", "pipe", "inherit"] });
  };
  const server = start(stockSpace, "stock");
  await new Promise((resolve) => server.stdout.once("data", resolve));
  const host = stockSpace === undefined ? "127.0.0.1" : "10.99.0.2";
  const clients = ports.map((port) => start(ordersSpace, "orders", String(port), host));
  const ended = clients.map((client) => new Promise((resolve) => client.once("exit", resolve)));

  const shape = (queue) =>
    execFileSync("tc", ["-n", ordersSpace, "qdisc", "change", "dev", "orders0", ...queue]);
  const stall =
    ordersSpace === undefined
      ? { begin: () => server.kill("SIGSTOP"), end: () => server.kill("SIGCONT") }
      : { begin: () => shape(stalled), end: () => shape(open) };
  await sleep(stallAtMs);
  mark("instant:stall begins");
  stall.begin();
  await sleep(stallMs);
  stall.end();
  mark("instant:stall ends");
  await Promise.all(ended);
  server.kill();
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
