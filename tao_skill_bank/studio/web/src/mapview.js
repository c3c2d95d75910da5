// The map in its frame: the frame gets points and classes, and gives back what a lasso holds; it reaches nothing else.
import { html, useEffect, useRef, useState, Waiting, Problem, count } from "./ui.js";
import { bytes } from "./api.js";

export function SampleMap({ table, asked, threshold, onLasso, lasso }) {
  const frame = useRef();
  const [state, set] = useState({ done: 0, total: 0 });
  const [ready, isReady] = useState(false);
  const points = useRef(null);
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    const ask = async () => {
      try {
        const answer = await bytes("/map", asked, stop.signal);
        if (answer.status === 202) { set(await answer.json()); timer = setTimeout(ask, 700); return; }
        const data = await answer.arrayBuffer(), n = data.byteLength / 12;
        const rows = new Uint32Array(data, 0, n), xy = new Float32Array(data, 4 * n, 2 * n);
        const place = new Map();
        for (let k = 0; k < table.rows.length; k++) place.set(table.rows[k], k);
        points.current = { places: Uint32Array.from(rows, (r) => place.get(r)), xy };
        set({ there: n });
      } catch (error) { if (error.name !== "AbortError") set({ error }); }
    };
    ask();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [asked.run, asked.set, asked.iteration]);
  useEffect(() => {
    const f = (e) => {
      if (e.source !== frame.current?.contentWindow) return;
      if (e.data.kind === "ready") isReady(true);
      if (e.data.kind === "problem") set({ error: { message: e.data.text, fix: "the grid shows the same boards" } });
      if (e.data.kind === "lasso") {
        if (!e.data.points.length) { onLasso(null); return; }
        const within = new Uint8Array(table.rows.length);
        for (const p of e.data.points) within[points.current.places[p]] = 1;
        onLasso(within);
      }
    };
    addEventListener("message", f);
    return () => removeEventListener("message", f);
  }, [table]);
  const send = () => {
    if (!ready || !points.current) return;
    const { places, xy } = points.current, kinds = new Uint8Array(places.length);
    places.forEach((k, i) => { const good = table.good[table.label[k]], flagged = table.scores && threshold !== null ? table.scores[k] > threshold : !good; kinds[i] = good ? (flagged ? 2 : 0) : flagged ? 1 : 3; });
    const css = getComputedStyle(document.documentElement), colour = (n) => css.getPropertyValue(n).trim();
    frame.current.contentWindow.postMessage({ kind: "points", xy, kinds, colours: [colour("--pass"), colour("--defect"), colour("--accent"), colour("--wrong")], ground: colour("--sheet") }, "*");
  };
  useEffect(send, [ready, state.there, threshold]);
  useEffect(() => { if (lasso === null && ready) frame.current?.contentWindow?.postMessage({ kind: "clear" }, "*"); }, [lasso]);
  if (state.error) return html`<${Problem} error=${state.error} />`;
  return html`<div class="map"><iframe ref=${frame} title="Map of the boards by how they look: draw around some to filter" src="/static/map.html" sandbox="allow-scripts"></iframe>
    ${!state.there && html`<${Waiting} what=${state.total ? `Comparing pictures: ${count(state.done)} of ${count(state.total)}` : "Comparing pictures"} />`}
    <p class="legend"><span class="key pass">PASS</span><span class="key defect">defect</span><span class="key flagged">false call</span><span class="key missed">missed</span><span class="soft">draw around boards to filter the grid; scroll zooms, <kbd>shift</kbd>-drag moves</span></p></div>`;
}
