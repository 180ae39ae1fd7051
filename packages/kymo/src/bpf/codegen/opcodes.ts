/**
 * Numbers of the instruction set.
 * @see https://docs.kernel.org/bpf/standardization/instruction-set.html (RFC 9669, sections 3 … 5)
 */

/** Low three bits of an opcode. */
export const Class = {
  load: 0,
  loadx: 1,
  store: 2,
  storex: 3,
  alu32: 4,
  jump: 5,
  jump32: 6,
  alu64: 7,
} as const;

/** Bit 3 of an ALU or jump opcode: the second operand is a register. */
export const fromRegister = 0x08;

export const Alu = {
  add: 0x00,
  subtract: 0x10,
  multiply: 0x20,
  divide: 0x30,
  or: 0x40,
  and: 0x50,
  shiftLeft: 0x60,
  shiftRight: 0x70,
  negate: 0x80,
  modulo: 0x90,
  xor: 0xa0,
  move: 0xb0,
  shiftRightSigned: 0xc0,
} as const;

export const Jump = {
  always: 0x00,
  equal: 0x10,
  greater: 0x20,
  greaterEqual: 0x30,
  anySet: 0x40,
  notEqual: 0x50,
  greaterSigned: 0x60,
  greaterEqualSigned: 0x70,
  call: 0x80,
  exit: 0x90,
  less: 0xa0,
  lessEqual: 0xb0,
  lessSigned: 0xc0,
  lessEqualSigned: 0xd0,
} as const;

/** Bits 3 and 4 of a memory opcode, by bytes. */
export const Size = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 } as const;

/** Upper three bits of a memory opcode. `memorySigned` is new in v4 (Linux 6.6). */
export const Mode = { immediate: 0x00, memory: 0x60, memorySigned: 0x80, atomic: 0xc0 } as const;

export const loadImmediate64: number = Class.load | Size[8] | Mode.immediate;

/** Source register of a 64-bit immediate or of a call: what the immediate stands for. */
export const Pseudo = { map: 1, mapValue: 2, kfunc: 2 } as const;

/** Helpers that the compiler itself calls or knows. @see include/uapi/linux/bpf.h, `enum bpf_func_id` */
export const Helper = {
  mapLookup: 1,
  mapUpdate: 2,
  mapDelete: 3,
  ktime: 5,
  random: 7,
  cpu: 8,
  pidTgid: 14,
  uidGid: 15,
  comm: 16,
  task: 35,
  numaNode: 42,
  cgroup: 80,
  readUser: 112,
  readKernel: 113,
  ringReserve: 131,
  ringSubmit: 132,
  taskBtf: 158,
} as const;
