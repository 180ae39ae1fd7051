/** Signals: sent (on the sender) and delivered (on the receiver). */
import { instant, signalName, tracepoint } from "kymo/probe";

tracepoint("signal:signal_generate", (e) =>
  instant({
    name: "signal sent",
    category: "signal",
    args: { signal: signalName(e.sig), to: e.pid, comm: e.comm, result: e.result },
  }),
);

tracepoint("signal:signal_deliver", (e) =>
  instant({ name: signalName(e.sig), category: "signal", args: { code: e.code } }),
);
