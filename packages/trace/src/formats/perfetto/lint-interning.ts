/** Interned data by the rules: an iid is defined before it is used, in its sequence, since the state was cleared. */
import { ProtoReader } from "../../wire/protobuf-reader.ts";
import type { Findings } from "./lint-findings.ts";
import { Callstack, Frame, InternedData, InternedText, Mapping } from "./records.ts";

const MAX_TRACKED = 1 << 20;

/** InternedData's field numbers: each counts its iids apart. */
type Space = number;

/** What a sequence has defined. */
export interface InterningState {
  readonly valid: boolean;
  readonly iids: Map<Space, Set<number>>;
}

const INTERN_FIX =
  "write the entry in interned_data of this packet or an earlier one of the sequence, after its last cleared state, with an iid from 1 up";

export class InternedIds {
  private readonly findings: Findings;
  private readonly inner = new ProtoReader();
  private readonly entry = new ProtoReader();

  constructor(findings: Findings) {
    this.findings = findings;
  }

  read(bytes: Uint8Array, [from, to]: [number, number], sequence: InterningState): void {
    const message = this.inner.over(bytes, from, to);
    // Frames may refer to mappings that stand after them in the same message: define first, then look.
    while (message.next()) {
      if (message.wire !== 2) continue;
      const entry = this.entry.into(message);
      let iid = 0;
      while (entry.next()) if (entry.field === InternedText.iid) iid = entry.number();
      if (iid === 0)
        this.findings.add(
          "interning",
          `interned_data has an entry of field ${message.field} with iid 0, which means none`,
          "count iids from 1",
        );
      else this.define(sequence, message.field, iid);
    }
    message.over(bytes, from, to);
    while (message.next()) {
      if (message.wire !== 2) continue;
      const entry = this.entry;
      if (message.field === InternedData.mappings) {
        entry.into(message);
        while (entry.next())
          if (entry.field === Mapping.buildId)
            this.refer(sequence, InternedData.buildIds, entry.number(), true);
          else if (entry.field === Mapping.pathStringIds)
            this.refer(sequence, InternedData.mappingPaths, entry.number());
      } else if (message.field === InternedData.frames) {
        entry.into(message);
        while (entry.next())
          if (entry.field === Frame.functionNameId)
            this.refer(sequence, InternedData.functionNames, entry.number(), true);
          else if (entry.field === Frame.mappingId)
            this.refer(sequence, InternedData.mappings, entry.number(), true);
          else if (entry.field === Frame.sourcePathIid)
            this.refer(sequence, InternedData.sourcePaths, entry.number());
      } else if (message.field === InternedData.callstacks) {
        entry.into(message);
        while (entry.next())
          if (entry.field === Callstack.frameIds)
            this.refer(sequence, InternedData.frames, entry.number());
      }
    }
  }

  private define(sequence: InterningState, space: Space, iid: number): void {
    let iids = sequence.iids.get(space);
    if (iids === undefined) {
      iids = new Set();
      sequence.iids.set(space, iids);
    }
    if (iids.size < MAX_TRACKED) iids.add(iid);
  }

  /** @param optional 0 means none */
  refer(sequence: InterningState, space: Space, iid: number, optional = false): void {
    if (iid === 0) {
      if (!optional)
        this.findings.add(
          "interning",
          `${SPACES.get(space) ?? "an entry"} is referred to by iid 0`,
          INTERN_FIX,
        );
      return;
    }
    // What came before a loss was already reported as state that is missing.
    if (!sequence.valid) return;
    const iids = sequence.iids.get(space);
    if (iids?.has(iid)) return;
    if (iids !== undefined && iids.size >= MAX_TRACKED) return;
    this.findings.add(
      "interning",
      `${SPACES.get(space) ?? "an entry"} is used by an iid that was not defined before`,
      INTERN_FIX,
    );
  }
}

const SPACES: ReadonlyMap<Space, string> = new Map([
  [InternedData.eventCategories, "a category"],
  [InternedData.eventNames, "an event name"],
  [InternedData.debugAnnotationNames, "an argument name"],
  [InternedData.debugAnnotationStringValues, "an argument text"],
  [InternedData.functionNames, "a function name"],
  [InternedData.frames, "a frame"],
  [InternedData.callstacks, "a call stack"],
  [InternedData.buildIds, "a build id"],
  [InternedData.mappingPaths, "a mapping path"],
  [InternedData.sourcePaths, "a source path"],
  [InternedData.mappings, "a mapping"],
  [InternedData.logMessageBody, "a log message"],
]);
