/** BPF helpers that handlers call, by number. @see include/uapi/linux/bpf.h */
export const helper = {
  mapLookup: 1,
  mapUpdate: 2,
  mapDelete: 3,
  ktimeNs: 5,
  random: 7,
  cpu: 8,
  pidTgid: 14,
  uidGid: 15,
  comm: 16,
  stack: 67,
  cgroup: 80,
  readUser: 112,
  readKernel: 113,
  readUserText: 114,
  readKernelText: 115,
  taskBtf: 158,
  copyUser: 148,
  attachCookie: 174,
} as const;

/** bpf_map_update_elem: only when the key isn't there yet. */
export const noExist = 1;
/** bpf_get_stack: of the program, not of the kernel. */
export const userStack = 0x100;
