/**
 * Calls of a sink as data: what crosses worker → main, server → page, process → process.
 *
 *     source ─► BatchSink ── flush() ──► EventBatch ──(postMessage)──► BatchReplayer ─► any TraceSink
 *
 *     codes   one byte a call           ints     its operands: ids, small numbers, halves of 64-bit ones
 *     floats  times and values          texts, bytes, objects   what declarations carry
 *
 * The order of calls is kept. Ids in a batch are the BatchSink's own and go on from batch to batch, so batches of one
 * sink are replayed all, in order, by one replayer.
 */
export { BATCH_VERSION, type BatchObject, type EventBatch, transferList } from "./batch-calls.ts";
export { BatchError, BatchReplayer } from "./batch-replayer.ts";
export { BatchSink } from "./batch-sink.ts";
