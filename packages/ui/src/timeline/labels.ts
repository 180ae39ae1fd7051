/**
 * Labels that fit. Widths come from a table of char advances measured once per font: measureText for each label
 * of each frame cost 50× as much.
 */
const ELLIPSIS = "…";

export class TextMeasure {
  private readonly advances = new Float32Array(128);
  private readonly other = new Map<string, number>();
  private readonly measure: (text: string) => number;

  /** `measure` gives the width of a text in px in the wanted font. */
  constructor(measure: (text: string) => number) {
    this.measure = measure;
    for (let code = 32; code < 127; code++)
      this.advances[code] = measure(String.fromCharCode(code));
  }

  width(text: string): number {
    let sum = 0;
    for (let i = 0; i < text.length; i++) sum += this.advance(text, i);
    return sum;
  }

  /**
   * The text if it fits in `room` px, else with an ellipsis: qualified names ("a::b", "a.b", "/a/b") keep their
   * tail, which tells them apart; others, and names of threads (`qualified` false), their head. "" when not even
   * two characters fit.
   */
  fit(text: string, room: number, qualified = true): string {
    const keepTail = qualified && /::|\/|\w\.\w/.test(text);
    const dots = this.advance(ELLIPSIS, 0);
    let sum = 0;
    let cut = -1;
    for (let i = 0; i < text.length; i++) {
      const at = keepTail ? text.length - 1 - i : i;
      sum += this.advance(text, at);
      if (cut < 0 && sum + dots > room) cut = i;
      if (sum > room) {
        if (cut < 2) return "";
        return keepTail ? ELLIPSIS + text.slice(text.length - cut) : text.slice(0, cut) + ELLIPSIS;
      }
    }
    return text;
  }

  private advance(text: string, at: number): number {
    const code = text.charCodeAt(at);
    if (code < 128) return this.advances[code]!;
    const char = text[at]!;
    let width = this.other.get(char);
    if (width === undefined) {
      width = this.measure(char);
      if (this.other.size < 4096) this.other.set(char, width);
    }
    return width;
  }
}
