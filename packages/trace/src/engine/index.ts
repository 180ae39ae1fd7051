export { LiveView, type LiveViewOptions } from "../live/view.ts";
export { ProtocolError } from "./check.ts";
export * from "./engine.ts";
export { startLoading } from "./loading.ts";
export { OpenTrace } from "./open-trace.ts";
export {
  FILLS,
  fillOf,
  SYSCALL_FILLS,
  sliceFill,
  stateClass,
  stateInk,
  stateTitle,
} from "./palette.ts";
export * from "./protocol.ts";
export { formatCount, formatNs, formatValue } from "./units.ts";
export { decodeMessage, encodeMessage, MAX_MESSAGE_BYTES } from "./wire.ts";
export { startEngineWorker, type WorkerScope } from "./worker-host.ts";
