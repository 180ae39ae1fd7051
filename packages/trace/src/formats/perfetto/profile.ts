/** Frames and call stacks of the sink, interned per section as Perfetto's Mapping, Frame and Callstack. */
import {
  type FrameId,
  type FrameInfo,
  NO_STACK,
  type StackId,
  type StringId,
} from "../../model/sink.ts";
import type { ProtoWriter } from "../../wire/protobuf.ts";
import { fromHex } from "./args.ts";
import { Callstack, Frame, InternedData, InternedText, Mapping } from "./records.ts";
import { IidTable, TextInterner, type Texts } from "./strings.ts";

/** What a frame's `inlined` is written as: the schema has no field for it. */
export const INLINED = "inlined";
const UINT32_MAX = 2 ** 32 - 1;
const NO_TEXT = -1;

interface StoredFrame {
  readonly name: StringId;
  readonly file: StringId | undefined;
  readonly line: number | undefined;
  readonly mapping: number;
  readonly address: bigint | undefined;
  readonly inlined: boolean;
}

export class Profiles {
  private readonly texts: Texts;
  private readonly out: ProtoWriter;
  private readonly frames: StoredFrame[] = [];
  private readonly mappings: { readonly module: number; readonly buildId: number }[] = [];
  private readonly mappingIds = new Map<string, number>();
  private stackParents = new Int32Array(256);
  private stackFrames = new Uint32Array(256);
  private stackCount = 0;
  private readonly stackIds = new Map<number, StackId>();

  private readonly functionNames: TextInterner;
  private readonly sourcePaths: TextInterner;
  private readonly mappingPaths: TextInterner;
  private readonly buildIds = new IidTable();
  private readonly mappingIids = new IidTable();
  private readonly frameIids = new IidTable();
  private readonly stackIids = new IidTable();

  /** @param out the InternedData of the packet being written */
  constructor(texts: Texts, out: ProtoWriter) {
    this.texts = texts;
    this.out = out;
    this.functionNames = new TextInterner(InternedData.functionNames, texts, out);
    this.sourcePaths = new TextInterner(InternedData.sourcePaths, texts, out);
    this.mappingPaths = new TextInterner(InternedData.mappingPaths, texts, out);
  }

  restart(): void {
    this.functionNames.restart();
    this.sourcePaths.restart();
    this.mappingPaths.restart();
    this.buildIds.restart();
    this.mappingIids.restart();
    this.frameIids.restart();
    this.stackIids.restart();
  }

  frame(info: FrameInfo): FrameId {
    const module = info.module === undefined ? NO_TEXT : this.texts.id(info.module);
    const buildId = info.buildId === undefined ? NO_TEXT : this.texts.id(info.buildId);
    const key = `${module} ${buildId}`;
    let mapping = this.mappingIds.get(key);
    if (mapping === undefined) {
      mapping = this.mappings.length;
      this.mappings.push({ module, buildId });
      this.mappingIds.set(key, mapping);
    }
    this.frames.push({
      name: this.texts.id(info.name),
      file: info.file === undefined ? undefined : this.texts.id(info.file),
      line: info.line,
      mapping,
      address: info.address,
      inlined: info.inlined === true,
    });
    return (this.frames.length - 1) as FrameId;
  }

  stack(parent: StackId, frame: FrameId): StackId {
    if (frame >= this.frames.length || parent >= this.stackCount)
      throw new RangeError(`stack(${parent}, ${frame}): not given by this sink`);
    // Exact up to 2^53: 2^26 stacks over 2^26 frames.
    const key = (parent + 1) * 2 ** 27 + frame;
    const known = this.stackIds.get(key);
    if (known !== undefined) return known;
    if (this.stackCount === this.stackParents.length) {
      const parents = new Int32Array(this.stackCount * 2);
      const frames = new Uint32Array(this.stackCount * 2);
      parents.set(this.stackParents);
      frames.set(this.stackFrames);
      this.stackParents = parents;
      this.stackFrames = frames;
    }
    const id = this.stackCount++ as StackId;
    this.stackParents[id] = parent;
    this.stackFrames[id] = frame;
    this.stackIds.set(key, id);
    return id;
  }

  /** The section's iid of a call stack; defines it, its frames and their mappings where they are new. */
  callstack(stack: StackId, section: number): number {
    if (stack < 0 || stack >= this.stackCount)
      throw new RangeError(`stack ${stack} was not given by this sink`);
    const known = this.stackIids.iid(stack, section);
    if (known !== 0) return known;
    const outermostFirst: number[] = [];
    for (let at: number = stack; at !== NO_STACK; at = this.stackParents[at]!)
      outermostFirst.push(this.frameIid(this.stackFrames[at]!, section));
    outermostFirst.reverse();
    const iid = this.stackIids.define(stack, section);
    const entry = this.out.open(InternedData.callstacks);
    this.out.uint(Callstack.iid, iid);
    for (const frame of outermostFirst) this.out.uint(Callstack.frameIds, frame);
    this.out.close(entry);
    return iid;
  }

  private frameIid(id: number, section: number): number {
    const known = this.frameIids.iid(id, section);
    if (known !== 0) return known;
    const frame = this.frames[id]!;
    const mapping = this.mappingIid(frame.mapping, section);
    const name = this.functionNames.iid(frame.name, section);
    const file = frame.file === undefined ? 0 : this.sourcePaths.iid(frame.file, section);
    const iid = this.frameIids.define(id, section);
    const out = this.out;
    const entry = out.open(InternedData.frames);
    out.uint(Frame.iid, iid);
    out.uint(Frame.functionNameId, name);
    out.uint(Frame.mappingId, mapping);
    if (frame.address !== undefined) out.big(Frame.relPc, frame.address);
    if (file !== 0) out.uint(Frame.sourcePathIid, file);
    const line = frame.line;
    if (line !== undefined && Number.isInteger(line) && line >= 0 && line <= UINT32_MAX)
      out.uint(Frame.lineNumber, line);
    if (frame.inlined) out.string(Frame.kindText, INLINED);
    out.close(entry);
    return iid;
  }

  private mappingIid(id: number, section: number): number {
    const known = this.mappingIids.iid(id, section);
    if (known !== 0) return known;
    const { module, buildId } = this.mappings[id]!;
    const path = module === NO_TEXT ? 0 : this.mappingPaths.iid(module as StringId, section);
    const build = buildId === NO_TEXT ? 0 : this.buildIdIid(buildId as StringId, section);
    const iid = this.mappingIids.define(id, section);
    const out = this.out;
    const entry = out.open(InternedData.mappings);
    out.uint(Mapping.iid, iid);
    if (build !== 0) out.uint(Mapping.buildId, build);
    if (path !== 0) out.uint(Mapping.pathStringIds, path);
    out.close(entry);
    return iid;
  }

  /** Build ids are bytes in the file. 0 for a text that is not hex. */
  private buildIdIid(id: StringId, section: number): number {
    const known = this.buildIds.iid(id, section);
    if (known !== 0) return known;
    const bytes = fromHex(this.texts.get(id));
    if (bytes === undefined || bytes.length === 0) return 0;
    const iid = this.buildIds.define(id, section);
    const entry = this.out.open(InternedData.buildIds);
    this.out.uint(InternedText.iid, iid);
    this.out.blob(InternedText.text, bytes);
    this.out.close(entry);
    return iid;
  }
}
