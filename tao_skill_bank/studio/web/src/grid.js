// A grid that holds a million boards: only what is in view is there.
import { html, useEffect, useLayoutEffect, useRef, useState, Thumb, score } from "./ui.js";

const TALLEST = 12e6; // browsers do not scroll beyond some 30 million pixels; further rows are reached in larger steps

export function Grid({ total, pick, table, texts, query, light, size, quick, picked, onPick, onOpen, marks, focus, setFocus }) {
  const box = useRef();
  const [view, set] = useState({ top: 0, width: 800, height: 600 });
  useLayoutEffect(() => {
    const el = box.current;
    const measure = () => set((v) => ({ ...v, width: el.clientWidth, height: el.clientHeight }));
    const watch = new ResizeObserver(measure);
    watch.observe(el);
    measure();
    return () => watch.disconnect();
  }, []);
  const gap = 8, across = Math.max(1, Math.floor((view.width + gap) / (size + gap))), high = size + 34 + gap;
  const lines = Math.ceil(total / across), full = lines * high, shown = Math.min(full, TALLEST);
  const scale = full > shown ? (full - view.height) / Math.max(1, shown - view.height) : 1;
  const top = Math.min(view.top * scale, Math.max(0, full - view.height));
  const first = Math.max(0, Math.floor(top / high) - 1), last = Math.min(lines, Math.ceil((top + view.height) / high) + 1);
  const cells = [];
  for (let line = first; line < last; line++)
    for (let c = 0; c < across; c++) {
      const i = line * across + c;
      if (i >= total) break;
      cells.push({ i, k: pick(i), x: c * (size + gap), y: line * high - top + view.top });
    }
  const reach = (i) => {
    const y = Math.floor(i / across) * high;
    if (y < top) box.current.scrollTop = y / scale;
    else if (y + high > top + view.height) box.current.scrollTop = (y + high - view.height) / scale;
  };
  const move = (step) => { const i = Math.max(0, Math.min(total - 1, focus + step)); setFocus(i); reach(i); requestAnimationFrame(() => box.current?.querySelector(`[data-i="${i}"]`)?.focus({ preventScroll: true })); };
  const keys = (e) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across, PageDown: across * Math.max(1, Math.floor(view.height / high)), PageUp: -across * Math.max(1, Math.floor(view.height / high)), Home: -total, End: total }[e.key];
    if (step) { e.preventDefault(); move(step); }
    else if (e.key === " ") { e.preventDefault(); onPick(pick(focus), focus, e.shiftKey); }
  };
  useEffect(() => { if (focus >= total) setFocus(Math.max(0, total - 1)); }, [total]);
  return html`<div class="grid" ref=${box} onScroll=${(e) => set((v) => ({ ...v, top: e.target.scrollTop }))} onKeyDown=${keys} role="group" aria-label="Boards">
    <div class="grid-all" style=${{ height: `${shown}px` }}>${cells.map(({ i, k, x, y }) => {
      const row = table.rows[k], text = texts.of(row), wrong = marks.wrong(k), said = text && marks.said(text);
      return html`<a key=${i} data-i=${i} class="cell ${picked.has(k) ? "picked" : ""} ${wrong ? "wrong" : ""}" tabindex=${i === focus ? 0 : -1} style=${{ transform: `translate(${x}px, ${y}px)`, width: `${size}px` }}
        href=${marks.href(row)} onFocus=${() => setFocus(i)} onClick=${(e) => { if (e.ctrlKey || e.metaKey || e.shiftKey) { e.preventDefault(); onPick(k, i, e.shiftKey); } else onOpen(i); }} title=${text ? text.sample : ""}>
        ${quick ? html`<span class="thumb"></span>` : html`<${Thumb} query=${{ ...query, row, light }} edge=${size} alt=${text ? text.sample : `row ${row}`} />`}
        <span class="cap"><b class=${table.good[table.label[k]] ? "pass" : "defect"}>${table.about.labels[table.label[k]]}</b><i>${table.scores ? score(table.scores[k]) : ""}</i></span>
        <span class="mark">${wrong && html`<u>${wrong}</u>`}${said && html`<u class="said">${said}</u>`}</span></a>`;
    })}</div></div>`;
}
