/** Interned frames and call stacks of a sequence → the sink's; PerfSample and StreamingProfilePacket. */
import { type FrameId, type FrameInfo, NO_STACK, type StackId } from "../../model/sink.ts";
import type { ReaderContext } from "./context.ts";
import { INLINED } from "./profile.ts";
import { type InternedFrame, NO_TEXT, type Sequence, type TextId } from "./sequence.ts";

/** Equal frames of different sections share an id; beyond this many they no longer do. */
const MAX_SHARED_FRAMES = 1 << 18;
const MAX_STACK_DEPTH = 1 << 12;
const KERNEL_MAPPING = "/[kernel.kallsyms]";

export class Stacks {
  private readonly context: ReaderContext;
  private readonly frames = new Map<string, FrameId>();

  constructor(context: ReaderContext) {
    this.context = context;
  }

  /** NO_STACK where the stack was never defined (counted). */
  stack(sequence: Sequence, iid: number): StackId {
    const stack = sequence.stacks.get(iid);
    if (stack === undefined) {
      this.context.count("malformed", "interned call stacks used before they were defined");
      return NO_STACK;
    }
    if (stack.id !== undefined) return stack.id;
    let id: StackId = NO_STACK;
    for (const frame of stack.frames.slice(0, MAX_STACK_DEPTH))
      id = this.context.sink.stack(id, this.frame(sequence, frame));
    stack.id = id;
    return id;
  }

  private frame(sequence: Sequence, iid: number): FrameId {
    const frame = sequence.frames.get(iid);
    if (frame === undefined) {
      this.context.count("malformed", "interned frames used before they were defined");
      return this.shared({ name: "?" });
    }
    if (frame.id < 0) frame.id = this.shared(this.info(sequence, frame));
    return frame.id as FrameId;
  }

  private info(sequence: Sequence, frame: InternedFrame): FrameInfo {
    const text = (id: TextId): string => this.context.textOf(id);
    const info: { -readonly [key in keyof FrameInfo]: FrameInfo[key] } = {
      name: text(sequence.functionNames.get(frame.name)),
    };
    const file = sequence.sourcePaths.get(frame.file);
    if (file !== NO_TEXT) info.file = text(file);
    if (frame.line !== undefined) info.line = frame.line;
    if (frame.address !== undefined) info.address = frame.address;
    if (frame.kind === INLINED) info.inlined = true;
    const mapping = sequence.mappings.get(frame.mapping);
    if (mapping !== undefined) {
      if (mapping.path.length > 0) {
        const parts = mapping.path.map((iid) => text(sequence.mappingPaths.get(iid)));
        info.module = sequence.isKymo ? parts.join("/") : joined(parts);
      }
      const buildId = sequence.buildIds.get(mapping.buildId);
      if (buildId !== undefined && buildId !== "") info.buildId = buildId;
    }
    return info;
  }

  private shared(info: FrameInfo): FrameId {
    const { name, file, line, module, buildId, address, inlined } = info;
    const key = JSON.stringify([name, file, line, module, buildId, address?.toString(), inlined]);
    let id = this.frames.get(key);
    if (id === undefined) {
      id = this.context.sink.frame(info);
      if (this.frames.size < MAX_SHARED_FRAMES) this.frames.set(key, id);
    }
    return id;
  }
}

/** Perfetto's recorders split a path at its slashes; others give it whole. */
function joined(parts: readonly string[]): string {
  const path = parts[0]!.startsWith("/") ? parts.join("/") : `/${parts.join("/")}`;
  return path === KERNEL_MAPPING ? KERNEL_MAPPING.slice(1) : path;
}
