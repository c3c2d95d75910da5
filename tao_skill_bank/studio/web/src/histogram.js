// Scores with counts, PASS upwards and defects downwards, and the threshold that can be dragged.
import uPlot from "uplot";
import { html, useEffect, useRef } from "./ui.js";

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const root = (v) => Math.sign(v) * Math.sqrt(Math.abs(v));

export function Histogram({ table, threshold, own, onMove, onDone, version }) {
  const box = useRef(), plot = useRef(), line = useRef(), held = useRef({});
  held.current = { threshold, onMove, onDone };
  const place = () => {
    const u = plot.current, t = held.current.threshold;
    if (!u || t === null) return;
    const x = u.valToPos(Math.max(table.low, Math.min(table.high, t)), "x") + u.over.offsetLeft;
    line.current.style.transform = `translateX(${x}px)`;
  };
  useEffect(() => {
    const draw = () => {
      plot.current?.destroy();
      const { x, good, bad, step } = table.histogram();
      const soft = style("--soft"), rule = style("--rule"), font = `11.5px ${style("--sans") || "sans-serif"}`;
      const bars = uPlot.paths.bars({ size: [0.92, 100], gap: 0 });
      const axis = { stroke: soft, font, grid: { stroke: rule, width: 1 }, ticks: { show: false } };
      plot.current = new uPlot({
        width: box.current.clientWidth, height: 168, padding: [8, 10, 0, 0], cursor: { show: false }, legend: { show: false },
        scales: { x: { time: false, range: [table.low - step / 2, table.high + step / 2] }, y: { range: (u, a, b) => [Math.min(a, 0) * 1.08, Math.max(b, 1) * 1.08] } },
        axes: [{ ...axis, size: 26 }, { ...axis, size: 46, values: (u, v) => v.map((n) => Math.round(n * n).toLocaleString("en")) }],
        series: [{}, { paths: bars, fill: style("--pass"), stroke: style("--pass"), width: 0, points: { show: false } }, { paths: bars, fill: style("--defect"), stroke: style("--defect"), width: 0, points: { show: false } }],
        hooks: { drawClear: [(u) => {
          if (own === null) return;
          const at = u.valToPos(own, "x", true);
          u.ctx.save(); u.ctx.strokeStyle = style("--line"); u.ctx.setLineDash([3, 4]); u.ctx.beginPath(); u.ctx.moveTo(at, u.bbox.top); u.ctx.lineTo(at, u.bbox.top + u.bbox.height); u.ctx.stroke(); u.ctx.restore();
        }] },
      }, [x, good.map(root), bad.map((n) => -root(n))], box.current);
      place();
    };
    draw();
    const watch = new ResizeObserver(() => { if (plot.current && box.current.clientWidth) { plot.current.setSize({ width: box.current.clientWidth, height: 168 }); place(); } });
    watch.observe(box.current);
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", draw);
    addEventListener("studio-theme", draw);
    return () => { watch.disconnect(); dark.removeEventListener("change", draw); removeEventListener("studio-theme", draw); plot.current?.destroy(); plot.current = null; };
  }, [table, version, own]);
  useEffect(place, [threshold]);
  const value = (e) => { const u = plot.current, r = u.over.getBoundingClientRect(); return Math.max(table.low, Math.min(table.high, u.posToVal(e.clientX - r.left, "x"))); };
  const down = (e) => { if (e.button) return; e.preventDefault(); line.current.focus(); e.currentTarget.setPointerCapture(e.pointerId); held.current.drag = true; line.current.dataset.drag = "1"; onMove(value(e)); };
  const move = (e) => { if (line.current.dataset.drag) onMove(value(e)); };
  const up = () => { if (line.current.dataset.drag) { delete line.current.dataset.drag; onDone(); } };
  const key = (e) => {
    const step = (table.high - table.low) / 200, by = { ArrowLeft: -step, ArrowRight: step, PageDown: -10 * step, PageUp: 10 * step, Home: -Infinity, End: Infinity }[e.key];
    if (by === undefined) return;
    e.preventDefault(); e.stopPropagation();
    onMove(Math.max(table.low, Math.min(table.high, threshold + by)));
    onDone();
  };
  return html`<div class="histogram"><div class="plot" ref=${box} onPointerDown=${down} onPointerMove=${move} onPointerUp=${up} onPointerCancel=${up}></div>
    <div class="threshold" ref=${line} role="slider" tabindex="0" aria-label="Threshold" aria-valuemin=${table.low} aria-valuemax=${table.high} aria-valuenow=${threshold} aria-valuetext=${threshold === null ? "" : threshold.toPrecision(4)} onKeyDown=${key} onPointerDown=${down} onPointerMove=${move} onPointerUp=${up}><span>${threshold === null ? "" : threshold.toPrecision(4)}</span></div></div>`;
}
