/** What a lint has found: equal findings are counted, not repeated. */

export type LintRule =
  | "framing"
  | "protobuf"
  | "sequence-id"
  | "incremental-state"
  | "interning"
  | "descriptor"
  | "track"
  | "timestamp"
  | "clock"
  | "packed"
  | "bundle";

export interface LintFinding {
  readonly rule: LintRule;
  /** Of the first packet that breaks it. */
  readonly packet: number;
  readonly byteOffset: number;
  readonly message: string;
  /** What to do. */
  readonly fix: string;
  /** How many packets break it in the same way. */
  readonly count: number;
}

export interface Place {
  readonly packet: number;
  readonly byteOffset: number;
}

const MAX_FINDINGS = 1000;

export class Findings {
  /** Of the packet being checked. */
  packet = 0;
  byteOffset = 0;
  private readonly byMessage = new Map<string, { finding: LintFinding; count: number }>();

  /** The packet being checked. */
  get here(): Place {
    return { packet: this.packet, byteOffset: this.byteOffset };
  }

  add(rule: LintRule, message: string, fix: string): void {
    this.addAt(this, rule, message, fix);
  }
  addAt({ packet, byteOffset }: Place, rule: LintRule, message: string, fix: string): void {
    const known = this.byMessage.get(message);
    if (known !== undefined) known.count++;
    else if (this.byMessage.size < MAX_FINDINGS) {
      const finding = { rule, packet, byteOffset, message, fix, count: 1 };
      this.byMessage.set(message, { finding, count: 1 });
    }
  }

  /** In the order of the file. */
  list(): LintFinding[] {
    return [...this.byMessage.values()]
      .map(({ finding, count }) => ({ ...finding, count }))
      .sort((a, b) => a.byteOffset - b.byteOffset);
  }
}
