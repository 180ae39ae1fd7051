/** Block I/O: one slice for each request, from the driver to its completion, on a track for each disk. */
import {
  hash,
  now,
  pid,
  type ptr,
  rawTracepoint,
  slice,
  track,
  type u32,
  type u64,
} from "kymo/probe";

/** By REQ_OP_… of the kernel's blk_types.h. */
const operations = [
  "read",
  "write",
  "flush",
  "discard",
  "",
  "secure erase",
  "",
  "",
  "",
  "write zeroes",
];
const operationMask = 0xff;

interface Issued {
  at: u64;
  bytes: u32;
  pid: u32;
}
const issued = hash<ptr<"request">, Issued>({ max: 16_384 });

rawTracepoint("block_rq_issue", (request) => {
  issued.set(request, { at: now(), bytes: request.__data_len, pid: pid() });
});

rawTracepoint("block_rq_complete", (request, error) => {
  const at = issued.take(request);
  if (at === undefined) return;
  return slice({
    track: track("disk", request.q.disk.disk_name),
    name: operations[request.cmd_flags & operationMask],
    category: "block",
    start: at.at,
    args: { bytes: at.bytes, sector: request.__sector, error, issued_by: at.pid },
  });
});
