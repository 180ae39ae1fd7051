/**
 * The canvas's colours for each theme; the panels use the same through CSS variables (ui.css). Fills of names and
 * thread states are the engine's (palette.ts): they are in the pixels it sends.
 */
export type Theme = "light" | "dark";

export interface Colors {
  readonly background: string;
  readonly panel: string;
  /** Band behind an open process's own line. */
  readonly band: string;
  readonly ink: string;
  readonly muted: string;
  readonly line: string;
  /** Gridlines: weaker than borders. */
  readonly grid: string;
  readonly accent: string;
  readonly accentWash: string;
  readonly density: string;
  readonly hit: string;
  readonly loss: string;
  readonly lossWash: string;
  readonly counter: string;
  readonly counterFill: string;
  /** On fills. */
  readonly labelInk: string;
  readonly outline: string;
}

export const colors: { readonly [T in Theme]: Colors } = {
  light: {
    background: "#ffffff",
    panel: "#f5f6f8",
    band: "#f5f6f8",
    ink: "#1f2328",
    muted: "#656d76",
    line: "#e1e4e8",
    grid: "#eef0f2",
    accent: "#0969da",
    accentWash: "rgba(9, 105, 218, 0.12)",
    density: "#b4c0cc",
    hit: "#bc4c00",
    loss: "#cf222e",
    lossWash: "rgba(207, 34, 46, 0.10)",
    counter: "#4a7fb5",
    counterFill: "rgba(74, 127, 181, 0.28)",
    labelInk: "#14181f",
    outline: "#14181f",
  },
  dark: {
    background: "#14171c",
    panel: "#1b1f26",
    band: "#1b1f26",
    ink: "#d7dce3",
    muted: "#8b949e",
    line: "#2a2f37",
    grid: "#20252c",
    accent: "#6cb6ff",
    accentWash: "rgba(108, 182, 255, 0.14)",
    density: "#4a5665",
    hit: "#f0883e",
    loss: "#ff7b72",
    lossWash: "rgba(255, 123, 114, 0.14)",
    counter: "#7fb2e5",
    counterFill: "rgba(127, 178, 229, 0.26)",
    labelInk: "#14181f",
    outline: "#ffffff",
  },
};
