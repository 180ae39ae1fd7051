/**
 * Field numbers of the messages we read and write, in the order of the spec's files.
 * Names follow the spec in our spelling; what is absent here is skipped by number when read.
 *
 * @see https://github.com/google/perfetto/tree/main/protos/perfetto/trace
 */

/** trace.proto */
export const Trace = { packet: 1 } as const;

/** trace_packet.proto */
export const TracePacket = {
  timestamp: 8,
  timestampClockId: 58,
  // One of these:
  ftraceEvents: 1,
  processTree: 2,
  inodeFileMap: 4,
  chromeEvents: 5,
  clockSnapshot: 6,
  sysStats: 7,
  processStats: 9,
  trackEvent: 11,
  traceConfig: 33,
  ftraceStats: 34,
  traceStats: 35,
  synchronizationMarker: 36,
  profilePacket: 37,
  processDescriptor: 43,
  threadDescriptor: 44,
  systemInfo: 45,
  compressedPackets: 50,
  streamingProfilePacket: 54,
  trackDescriptor: 60,
  moduleSymbols: 61,
  perfSample: 66,
  cpuInfo: 67,
  serviceEvent: 69,
  extensionDescriptor: 72,
  uiState: 78,
  traceUuid: 89,
  rangeOfInterest: 90,
  zstdCompressedPackets: 133,
  // With any of them:
  trustedUid: 3,
  trustedPacketSequenceId: 10,
  trustedPid: 79,
  internedData: 12,
  sequenceFlags: 13,
  incrementalStateCleared: 41,
  tracePacketDefaults: 59,
  previousPacketDropped: 42,
  firstPacketOnSequence: 87,
  machineId: 98,
} as const;
export const SequenceFlag = { incrementalStateCleared: 1, needsIncrementalState: 2 } as const;

/** trace_packet_defaults.proto */
export const TracePacketDefaults = {
  timestampClockId: 58,
  trackEventDefaults: 11,
  perfSampleDefaults: 12,
} as const;
export const TrackEventDefaults = {
  trackUuid: 11,
  extraCounterTrackUuids: 31,
  extraDoubleCounterTrackUuids: 45,
} as const;

/** interned_data/interned_data.proto */
export const InternedData = {
  eventCategories: 1,
  eventNames: 2,
  debugAnnotationNames: 3,
  debugAnnotationStringValues: 29,
  sourceLocations: 4,
  functionNames: 5,
  frames: 6,
  callstacks: 7,
  buildIds: 16,
  mappingPaths: 17,
  sourcePaths: 18,
  mappings: 19,
  logMessageBody: 20,
  kernelSymbols: 26,
} as const;
/** EventCategory, EventName, DebugAnnotationName, InternedString, LogMessageBody: all the same shape. */
export const InternedText = { iid: 1, text: 2 } as const;

/** clock_snapshot.proto, common/builtin_clock.proto */
export const ClockSnapshot = { clocks: 1, primaryTraceClock: 2 } as const;
export const Clock = { clockId: 1, timestamp: 2, isIncremental: 3, unitMultiplierNs: 4 } as const;
export const BuiltinClock = {
  realtime: 1,
  realtimeCoarse: 2,
  monotonic: 3,
  monotonicCoarse: 4,
  monotonicRaw: 5,
  boottime: 6,
  tsc: 9,
  /** Clock ids from here up to 127 mean something within one sequence only. */
  firstOfSequence: 64,
  lastOfSequence: 127,
} as const;

/** common/system_info.proto */
export const SystemInfo = { utsname: 1 } as const;
export const Utsname = { sysname: 1, version: 2, release: 3, machine: 4 } as const;

/** track_event/track_descriptor.proto */
export const TrackDescriptor = {
  uuid: 1,
  parentUuid: 5,
  name: 2,
  staticName: 10,
  atraceName: 13,
  description: 14,
  process: 3,
  chromeProcess: 6,
  thread: 4,
  chromeThread: 7,
  counter: 8,
  disallowMergingWithSystemTracks: 9,
  childOrdering: 11,
  siblingOrderRank: 12,
  siblingMergeBehavior: 15,
} as const;
export const ChildOrdering = { explicit: 3 } as const;
export const SiblingMerge = { none: 2 } as const;
/** track_event/process_descriptor.proto */
export const ProcessDescriptor = {
  pid: 1,
  cmdline: 2,
  legacySortIndex: 3,
  processName: 6,
  startTimestampNs: 7,
} as const;
/** track_event/thread_descriptor.proto */
export const ThreadDescriptor = {
  pid: 1,
  tid: 2,
  legacySortIndex: 3,
  threadName: 5,
  referenceTimestampUs: 6,
} as const;
/** track_event/counter_descriptor.proto */
export const CounterDescriptor = {
  type: 1,
  categories: 2,
  unit: 3,
  unitMultiplier: 4,
  isIncremental: 5,
  unitName: 6,
} as const;
/** CounterDescriptor.Unit, by number. */
export const COUNTER_UNITS = [undefined, "ns", "count", "bytes"] as const;

/** track_event/track_event.proto */
export const TrackEvent = {
  categoryIids: 3,
  categories: 22,
  nameIid: 10,
  name: 23,
  type: 9,
  trackUuid: 11,
  counterValue: 30,
  doubleCounterValue: 44,
  extraCounterTrackUuids: 31,
  extraCounterValues: 12,
  extraDoubleCounterTrackUuids: 45,
  extraDoubleCounterValues: 46,
  flowIdsOld: 36,
  flowIds: 47,
  terminatingFlowIdsOld: 42,
  terminatingFlowIds: 48,
  callstackIid: 56,
  callstackWeight: 57,
  debugAnnotations: 4,
  logMessage: 21,
  legacyEvent: 6,
  timestampDeltaUs: 1,
  timestampAbsoluteUs: 16,
  threadTimeDeltaUs: 2,
  threadInstructionCountDelta: 8,
  threadTimeAbsoluteUs: 17,
  threadInstructionCountAbsolute: 20,
  taskExecution: 5,
  sourceLocation: 33,
  sourceLocationIid: 34,
  correlationId: 52,
} as const;
export const EventType = { sliceBegin: 1, sliceEnd: 2, instant: 3, counter: 4 } as const;
export const LegacyEvent = {
  nameIid: 1,
  phase: 2,
  durationUs: 3,
  unscopedId: 6,
  idScope: 7,
  bindId: 8,
  localId: 10,
  globalId: 11,
  bindToEnclosing: 12,
  flowDirection: 13,
  instantEventScope: 14,
  pidOverride: 18,
  tidOverride: 19,
} as const;
/** track_event/log_message.proto */
export const LogMessage = { sourceLocationIid: 1, bodyIid: 2, prio: 3 } as const;
export const LogPriority = { debug: 3, info: 4, warning: 5, error: 6 } as const;

/** track_event/debug_annotation.proto */
export const DebugAnnotation = {
  nameIid: 1,
  name: 10,
  boolValue: 2,
  uintValue: 3,
  intValue: 4,
  doubleValue: 5,
  pointerValue: 7,
  nestedValue: 8,
  legacyJsonValue: 9,
  stringValue: 6,
  stringValueIid: 17,
  dictEntries: 11,
  arrayValues: 12,
} as const;
export const NestedValue = {
  nestedType: 1,
  dictKeys: 2,
  dictValues: 3,
  arrayValues: 4,
  intValue: 5,
  doubleValue: 6,
  boolValue: 7,
  stringValue: 8,
} as const;
export const NestedType = { dict: 1, array: 2 } as const;

/** profiling/profile_common.proto */
export const Mapping = {
  iid: 1,
  buildId: 2,
  startOffset: 3,
  start: 4,
  end: 5,
  pathStringIds: 7,
} as const;
export const Frame = {
  iid: 1,
  functionNameId: 2,
  mappingId: 3,
  relPc: 4,
  sourcePathIid: 5,
  lineNumber: 6,
  kind: 7,
  kindText: 8,
} as const;
export const Callstack = { iid: 1, frameIds: 2 } as const;
/** profiling/profile_packet.proto */
export const PerfSample = {
  cpu: 1,
  pid: 2,
  tid: 3,
  callstackIid: 4,
  cpuMode: 5,
  timebaseCount: 6,
  kernelRecordsLost: 17,
  sampleSkippedReason: 18,
  producerEvent: 19,
} as const;
export const PerfSampleDefaults = { timebase: 1 } as const;
export const StreamingProfilePacket = { callstackIid: 1, timestampDeltaUs: 2 } as const;
/** common/perf_events.proto */
export const Timebase = {
  period: 1,
  frequency: 2,
  counter: 4,
  name: 10,
  timestampClock: 11,
} as const;
export const PerfCounter = { cpuClock: 1, taskClock: 3 } as const;

/** ps/process_tree.proto, ps/process_stats.proto */
export const ProcessTree = { processes: 1, threads: 2 } as const;
export const TreeProcess = { pid: 1, ppid: 2, cmdline: 3 } as const;
export const TreeThread = { tid: 1, name: 2, tgid: 3 } as const;

/** ftrace/ftrace_event_bundle.proto */
export const FtraceEventBundle = {
  cpu: 1,
  event: 2,
  lostEvents: 3,
  compactSched: 4,
  ftraceClock: 5,
  ftraceTimestamp: 6,
  bootTimestamp: 7,
} as const;
export const CompactSched = {
  switchTimestamp: 1,
  switchPrevState: 2,
  switchNextPid: 3,
  switchNextPrio: 4,
  internTable: 5,
  switchNextCommIndex: 6,
  wakingTimestamp: 7,
  wakingPid: 8,
  wakingTargetCpu: 9,
  wakingPrio: 10,
  wakingCommIndex: 11,
  wakingCommonFlags: 12,
} as const;
/** ftrace/ftrace_event.proto */
export const FtraceEvent = {
  timestamp: 1,
  pid: 2,
  print: 3,
  schedSwitch: 4,
  commonFlags: 5,
  schedWakeup: 17,
  schedWaking: 20,
  schedWakeupNew: 114,
  taskNewtask: 235,
  taskRename: 236,
  schedProcessExec: 237,
  schedProcessExit: 238,
  schedProcessFork: 239,
  schedProcessFree: 240,
} as const;
/** ftrace/sched.proto */
export const SchedSwitch = {
  prevComm: 1,
  prevPid: 2,
  prevPrio: 3,
  prevState: 4,
  nextComm: 5,
  nextPid: 6,
  nextPrio: 7,
} as const;
/** sched_waking, sched_wakeup and sched_wakeup_new. */
export const SchedWaking = { comm: 1, pid: 2, prio: 3, success: 4, targetCpu: 5 } as const;
export const SchedProcessExec = { filename: 1, pid: 2, oldPid: 3 } as const;
export const SchedProcessExit = { comm: 1, pid: 2, tgid: 3, prio: 4 } as const;
export const SchedProcessFree = { comm: 1, pid: 2, prio: 3 } as const;
/** ftrace/task.proto, ftrace/print.proto */
export const TaskNewtask = { pid: 1, comm: 2, cloneFlags: 3 } as const;
export const TaskRename = { pid: 1, oldcomm: 2, newcomm: 3 } as const;
export const FtracePrint = { ip: 1, buf: 2 } as const;

/** clone(2): the new task shares its creator's process. */
export const CLONE_THREAD = 0x10000;
/** FtraceEvent.common_flags: the event happened in a hard or soft interrupt. */
export const IRQ_FLAGS = 0x18;
export const HARD_IRQ_FLAG = 0x08;
/** sched_switch.prev_state since Linux 4.14, lowest bit first; 0 is "R". @see include/trace/events/sched.h */
export const STATE_LETTERS = ["S", "D", "T", "t", "X", "Z", "P", "I"] as const;
export const STATE_PREEMPTED = 0x100;
