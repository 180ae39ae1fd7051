/** The flame graph of the selected area, or of the view when nothing is selected. */
import type { EngineMessage, FlameNode } from "@kymo/trace/engine";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { colors } from "../colors.ts";
import type { Page } from "../page.tsx";
import { TextMeasure } from "../timeline/labels.ts";
import { formatCount, formatDuration, formatShare } from "../words.ts";
import { fillOfName } from "./fill.ts";
import { type FlameBox, flameBoxes, flameDepth } from "./flame-layout.ts";
import { latest } from "./stats.tsx";

type Answer = Extract<EngineMessage, { type: "flame" }>;
const ROW = 18;
const FONT = '11px system-ui, "Segoe UI", sans-serif';

export function Flame({ page }: { page: Page }) {
  const { store, client } = page;
  const area = store.area.value;
  const range = store.range.value;
  const [answer, setAnswer] = useState<Answer | undefined>(undefined);
  const [zoomed, setZoomed] = useState(-1);
  const from = area?.from ?? range.from;
  const to = area?.to ?? range.to;
  useEffect(() => {
    const tracks = area && area.tracks.length > 0 ? area.tracks : undefined;
    return latest(
      page,
      () => client.flame({ from, to, ...(tracks && { tracks }) }),
      (next) => {
        setAnswer(next);
        setZoomed(-1);
      },
    );
  }, [page, client, area, from, to]);
  if (!answer) return <p class="muted hint">collecting samples…</p>;
  const where = area ? "the selected area" : "the view";
  if (answer.samples === 0)
    return (
      <p class="muted hint">
        No samples in {where}
        {store.tracks.value.every(({ rows }) => rows.every(({ kind }) => kind !== "sample"))
          ? ": this trace has no CPU samples."
          : ". Select a larger area, or zoom out."}
      </p>
    );
  return (
    <div class="flame">
      <div class="flame-head">
        <span>
          {formatCount(answer.samples)} samples · {formatDuration(answer.totalNs)} of CPU in {where}
        </span>
        {zoomed >= 0 && (
          <button type="button" class="plain" onClick={() => setZoomed(-1)}>
            Reset zoom
          </button>
        )}
      </div>
      <Icicle page={page} answer={answer} zoomed={zoomed} onZoom={setZoomed} />
    </div>
  );
}

interface IcicleProps {
  page: Page;
  answer: Answer;
  /** Index of the node that fills the width; −1 for all. */
  zoomed: number;
  onZoom: (node: number) => void;
}

function Icicle({ page, answer, zoomed, onZoom }: IcicleProps) {
  const { store } = page;
  const host = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const [hover, setHover] = useState<{ box: FlameBox; x: number; y: number } | undefined>();
  const [width, setWidth] = useState(800);
  const boxes = useMemo(() => flameBoxes(answer.nodes), [answer]);
  const theme = store.theme.value;
  const wanted = store.search.value.text.toLowerCase();
  const focus = boxes[zoomed];
  const left = focus?.start ?? 0;
  const span = focus?.width ?? answer.totalNs;
  const height = flameDepth(boxes) * ROW;

  useEffect(() => {
    const observer = new ResizeObserver(() => setWidth(host.current?.clientWidth ?? 800));
    if (host.current) observer.observe(host.current);
    return () => observer.disconnect();
  }, []);

  useEffect(() => {
    const target = canvas.current;
    const context = target?.getContext("2d", { alpha: false });
    if (!target || !context) return;
    const dpr = window.devicePixelRatio || 1;
    target.width = Math.round(width * dpr);
    target.height = Math.round(height * dpr);
    context.setTransform(dpr, 0, 0, dpr, 0, 0);
    const color = colors[theme];
    context.fillStyle = color.background;
    context.fillRect(0, 0, width, height);
    const measure = new TextMeasure((text) => {
      context.font = FONT;
      return context.measureText(text).width;
    });
    context.font = FONT;
    context.textBaseline = "middle";
    for (const box of boxes) {
      const node = answer.nodes[box.node]!;
      const x0 = Math.max(0, ((box.start - left) / span) * width);
      const x1 = Math.min(width, ((box.start + box.width - left) / span) * width);
      if (x1 - x0 < 0.4) continue;
      const miss = wanted !== "" && !node.name.toLowerCase().includes(wanted);
      const isAround = focus !== undefined && box.depth < focus.depth;
      context.globalAlpha = isAround ? 0.55 : 1;
      context.fillStyle = miss ? color.line : fillOfName(node.name);
      context.fillRect(
        x0,
        box.depth * ROW,
        Math.max(0.5, x1 - x0 - (x1 - x0 > 3 ? 1 : 0)),
        ROW - 1,
      );
      context.globalAlpha = 1;
      if (x1 - x0 < 34) continue;
      context.fillStyle = miss ? color.muted : color.labelInk;
      context.fillText(measure.fit(node.name, x1 - x0 - 8), x0 + 4, box.depth * ROW + ROW / 2);
    }
    if (hover) {
      const x0 = ((hover.box.start - left) / span) * width;
      context.strokeStyle = color.outline;
      context.lineWidth = 2;
      context.strokeRect(
        x0 + 1,
        hover.box.depth * ROW + 1,
        Math.max(2, (hover.box.width / span) * width - 3),
        ROW - 3,
      );
    }
  }, [answer, boxes, width, height, theme, wanted, left, span, focus, hover]);

  const boxAt = (x: number, y: number): FlameBox | undefined => {
    const depth = Math.floor(y / ROW);
    const at = left + (x / width) * span;
    return boxes.find(
      (box) => box.depth === depth && at >= box.start && at < box.start + box.width,
    );
  };
  return (
    <div class="icicle" ref={host}>
      <canvas
        ref={canvas}
        style={{ width: `${width}px`, height: `${height}px` }}
        role="img"
        aria-label={describe(answer.nodes)}
        onMouseMove={(event) => {
          const box = boxAt(event.offsetX, event.offsetY);
          setHover(box && { box, x: event.clientX, y: event.clientY });
        }}
        onMouseLeave={() => setHover(undefined)}
        onClick={(event) => {
          const box = boxAt(event.offsetX, event.offsetY);
          onZoom(!box || box.node === zoomed ? -1 : box.node);
        }}
      />
      {hover && (
        <FlameTip
          node={answer.nodes[hover.box.node]!}
          totalNs={answer.totalNs}
          x={hover.x}
          y={hover.y}
        />
      )}
    </div>
  );
}

interface FlameTipProps {
  node: FlameNode;
  totalNs: number;
  x: number;
  y: number;
}

function FlameTip({ node, totalNs, x, y }: FlameTipProps) {
  const place =
    x > innerWidth / 2
      ? { right: `${innerWidth - x + 16}px`, bottom: `${innerHeight - y + 12}px` }
      : { left: `${x + 16}px`, bottom: `${innerHeight - y + 12}px` };
  return (
    <div class="tooltip at-place" role="tooltip" style={place}>
      <strong>{node.name}</strong>
      <div class="numbers">
        <span>
          total <b>{formatDuration(node.totalNs)}</b> {formatShare(node.totalNs / totalNs)}
        </span>
        <span>
          self <b>{formatDuration(node.selfNs)}</b> {formatShare(node.selfNs / totalNs)}
        </span>
        <span>
          <b>{formatCount(node.samples)}</b> samples
        </span>
      </div>
      {node.module && <div class="path">{node.module}</div>}
    </div>
  );
}

/** For those who cannot see it: the widest functions. */
function describe(nodes: readonly FlameNode[]): string {
  const widest = nodes.toSorted((a, b) => b.selfNs - a.selfNs).slice(0, 3);
  return `Flame graph; most time itself: ${widest.map((node) => `${node.name} ${formatDuration(node.selfNs)}`).join(", ")}`;
}
