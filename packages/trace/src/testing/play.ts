/** Makes the calls of a random (or written-out) trace on any sink. */
import {
  type ArgSetId,
  EMPTY_STRING,
  NO_ARGS,
  NO_STACK,
  NO_TRACK,
  type Ns,
  type StackId,
  type StringId,
  type TraceSink,
  type TrackId,
} from "../model/sink.ts";
import type { AnyArgs, AnyTrace, AnyValue } from "./any-trace.ts";

const EVENT_TYPE = {
  name: "packet",
  fields: [
    { name: "bytes", type: "int", unit: "B" },
    { name: "to", type: "text" },
  ],
} as const;

/** Makes the calls on a sink, declarations first; ends with a watermark past everything. Does not close it. */
export function play(trace: AnyTrace, sink: TraceSink): void {
  sink.clock(trace.clock);
  for (const [key, value] of trace.metadata) sink.metadata(key, value);
  const tracks: TrackId[] = [];
  for (const info of trace.tracks)
    tracks.push(
      sink.track({ ...info, ...(info.parent !== undefined && { parent: tracks[info.parent]! }) }),
    );
  const track = (index: number) => (index < 0 ? NO_TRACK : tracks[index]!);
  const frames = trace.frames.map((info) => sink.frame(info));
  const type = trace.calls.some(({ call }) => call === "typed")
    ? sink.eventType(EVENT_TYPE)
    : undefined;
  for (const call of trace.calls) {
    const ts = call.ts as Ns;
    switch (call.call) {
      case "begin": {
        const set = playArgs(call.args, sink);
        sink.begin(track(call.track), ts, sink.string(call.name), sink.string(call.category), set);
        break;
      }
      case "end":
        sink.end(track(call.track), ts, playArgs(call.args, sink));
        break;
      case "slice": {
        const set = playArgs(call.args, sink);
        const dur = call.dur as Ns;
        sink.slice(
          track(call.track),
          ts,
          dur,
          sink.string(call.name),
          sink.string(call.category),
          set,
        );
        break;
      }
      case "instant": {
        const set = playArgs(call.args, sink);
        sink.instant(
          track(call.track),
          ts,
          sink.string(call.name),
          sink.string(call.category),
          set,
        );
        break;
      }
      case "typed":
        sink.typed(type!, track(call.track), ts, playArgs(call.args, sink));
        break;
      case "counter":
        sink.counter(track(call.track), ts, call.value);
        break;
      case "sample": {
        let stack: StackId = NO_STACK;
        for (const index of call.stack) stack = sink.stack(stack, frames[index]!);
        sink.sample(track(call.track), ts, stack, call.weight, call.cpu);
        break;
      }
      case "switch":
        sink.switch(
          track(call.track),
          ts,
          track(call.previous),
          sink.string(call.state),
          track(call.next),
          call.priority,
        );
        break;
      case "waking":
        sink.waking(track(call.track), ts, track(call.waker), call.targetCpu);
        break;
      case "life":
        sink.life(track(call.track), ts, call.what, sink.string(call.detail));
        break;
      case "flow":
        sink.flow(call.id, track(call.track), ts, call.step, call.bind);
        break;
      case "log":
        sink.log(track(call.track), ts, call.level, sink.string(call.message));
        break;
      case "problem":
        sink.problem(call.problem);
        break;
      case "watermark":
        sink.watermark(ts);
    }
  }
  sink.watermark(Infinity as Ns);
}

function playArgs(args: AnyArgs, sink: TraceSink): ArgSetId {
  if (args.length === 0) return NO_ARGS;
  for (const [key, value] of args) playValue(sink.string(key), value, sink);
  return sink.args.done();
}

function playValue(key: StringId, value: AnyValue, sink: TraceSink): void {
  switch (value.type) {
    case "int":
      sink.args.int(key, value.value);
      break;
    case "real":
      sink.args.real(key, value.value);
      break;
    case "text":
      sink.args.text(key, sink.string(value.value));
      break;
    case "bool":
      sink.args.bool(key, value.value);
      break;
    case "bytes":
      sink.args.bytes(key, value.value);
      break;
    case "object":
      sink.args.open(key, "object");
      for (const [member, inner] of value.members) playValue(sink.string(member), inner, sink);
      sink.args.close();
      break;
    case "array":
      sink.args.open(key, "array");
      for (const inner of value.items) playValue(EMPTY_STRING, inner, sink);
      sink.args.close();
      break;
  }
}
