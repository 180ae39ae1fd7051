/** Page faults: an instant for each, with the address and the instruction that touched it. */
import { instant, tracepoint } from "kymo/probe";

tracepoint("exceptions:page_fault_user", (e) =>
  instant({
    name: e.error_code & 2 ? "page fault (write)" : "page fault (read)",
    category: "memory",
    args: { address: e.address, ip: e.ip },
  }),
);
