/** The fields of one TrackEvent, in numbers and lists that are used again for the next. */
import { ProtoReader } from "../../wire/protobuf-reader.ts";
import type { ReaderContext } from "./context.ts";
import { TrackEvent } from "./records.ts";

const MAX_FLOWS_OF_EVENT = 256;

export class TrackEventFields {
  private readonly event = new ProtoReader();
  type = 0;
  hasTrack = false;
  trackHigh = 0;
  trackLow = 0;
  nameIid = 0;
  name: string | undefined;
  /** Of a counter event. */
  value: number | bigint | undefined;
  /** −1: none. */
  stackIid = -1;
  /** Where nested messages stand in the bytes; start −1: not there. */
  logStart = -1;
  logStop = 0;
  legacyStart = -1;
  legacyStop = 0;
  /** Legacy timestamps, µs. */
  deltaUs: number | undefined;
  absoluteUs: number | undefined;
  readonly categories: number[] = [];
  readonly categoryTexts: string[] = [];
  readonly flowIds: bigint[] = [];
  readonly endedFlows: bigint[] = [];
  /** Starts and stops. */
  readonly annotations: number[] = [];
  readonly extraUuids: bigint[] = [];
  readonly extraValues: number[] = [];
  readonly extraDoubleUuids: bigint[] = [];
  readonly extraDoubles: number[] = [];

  /** @throws ProtoError */
  read(bytes: Uint8Array, from: number, to: number, context: ReaderContext): void {
    this.restart();
    const event = this.event.over(bytes, from, to);
    while (event.next())
      switch (event.field) {
        case TrackEvent.type:
          this.type = event.low;
          break;
        case TrackEvent.trackUuid:
          this.hasTrack = true;
          this.trackHigh = event.high;
          this.trackLow = event.low;
          break;
        case TrackEvent.categoryIids:
          this.categories.push(event.number());
          break;
        case TrackEvent.categories:
          this.categoryTexts.push(event.text());
          break;
        case TrackEvent.nameIid:
          this.nameIid = event.number();
          break;
        case TrackEvent.name:
          this.name = event.text();
          break;
        case TrackEvent.counterValue:
          this.value = event.integer();
          break;
        case TrackEvent.doubleCounterValue:
          this.value = event.double();
          break;
        case TrackEvent.debugAnnotations:
          this.annotations.push(event.start, event.stop);
          break;
        case TrackEvent.flowIds:
        case TrackEvent.flowIdsOld:
          if (this.flowIds.length < MAX_FLOWS_OF_EVENT) this.flowIds.push(event.unsigned());
          break;
        case TrackEvent.terminatingFlowIds:
        case TrackEvent.terminatingFlowIdsOld:
          if (this.endedFlows.length < MAX_FLOWS_OF_EVENT) this.endedFlows.push(event.unsigned());
          break;
        case TrackEvent.extraCounterTrackUuids:
          this.extraUuids.push(event.unsigned());
          break;
        case TrackEvent.extraCounterValues:
          this.extraValues.push(event.signed());
          break;
        case TrackEvent.extraDoubleCounterTrackUuids:
          this.extraDoubleUuids.push(event.unsigned());
          break;
        case TrackEvent.extraDoubleCounterValues:
          this.extraDoubles.push(event.double());
          break;
        case TrackEvent.callstackIid:
          this.stackIid = event.number();
          break;
        case TrackEvent.logMessage:
          this.logStart = event.start;
          this.logStop = event.stop;
          break;
        case TrackEvent.legacyEvent:
          this.legacyStart = event.start;
          this.legacyStop = event.stop;
          break;
        case TrackEvent.timestampDeltaUs:
          this.deltaUs = event.signed();
          break;
        case TrackEvent.timestampAbsoluteUs:
          this.absoluteUs = event.signed();
          break;
        // Of no use here.
        case TrackEvent.callstackWeight:
        case TrackEvent.threadTimeDeltaUs:
        case TrackEvent.threadTimeAbsoluteUs:
        case TrackEvent.threadInstructionCountDelta:
        case TrackEvent.threadInstructionCountAbsolute:
          break;
        default:
          context.count("unsupported", `track events' field ${event.field} is not read`);
      }
  }

  /** Most lists are empty: setting a length costs more than looking. */
  private restart(): void {
    this.type = 0;
    this.hasTrack = false;
    this.trackHigh = 0;
    this.trackLow = 0;
    this.nameIid = 0;
    this.name = undefined;
    this.value = undefined;
    this.stackIid = -1;
    this.logStart = -1;
    this.legacyStart = -1;
    this.deltaUs = undefined;
    this.absoluteUs = undefined;
    if (this.categories.length > 0) this.categories.length = 0;
    if (this.annotations.length > 0) this.annotations.length = 0;
    if (this.flowIds.length > 0) this.flowIds.length = 0;
    if (this.endedFlows.length > 0) this.endedFlows.length = 0;
    if (this.categoryTexts.length > 0) this.categoryTexts.length = 0;
    if (this.extraUuids.length > 0) this.extraUuids.length = 0;
    if (this.extraValues.length > 0) this.extraValues.length = 0;
    if (this.extraDoubleUuids.length > 0) this.extraDoubleUuids.length = 0;
    if (this.extraDoubles.length > 0) this.extraDoubles.length = 0;
  }
}
