// The frame of the map. It gets points from the page, and says which of them a lasso holds.
import createScatterplot from "regl-scatterplot";

const say = (message) => parent.postMessage(message, "*");
const canvas = document.querySelector("canvas");
let plot = null, last = null, panning = false;

function make() {
  const { width, height } = canvas.getBoundingClientRect();
  plot = createScatterplot({ canvas, width, height, pointSize: 5, pointSizeSelected: 3, opacity: 0.85, lassoInitiator: false, mouseMode: "lasso", deselectOnDblClick: true, aspectRatio: width / Math.max(1, height), actionKeyMap: { merge: "cmd" } });
  plot.subscribe("select", ({ points }) => say({ kind: "lasso", points }));
  plot.subscribe("deselect", () => say({ kind: "lasso", points: [] }));
  new ResizeObserver(() => { const r = canvas.getBoundingClientRect(); plot.set({ width: r.width, height: r.height, aspectRatio: r.width / Math.max(1, r.height) }); }).observe(canvas.parentElement);
}
addEventListener("keydown", (e) => { if (e.key === "Shift" && plot && !panning) { panning = true; plot.set({ mouseMode: "panZoom" }); } });
addEventListener("keyup", (e) => { if (e.key === "Shift" && plot) { panning = false; plot.set({ mouseMode: "lasso" }); } });
addEventListener("message", async ({ source, data }) => {
  if (source !== parent) return;
  if (data.kind === "clear") { plot?.deselect({ preventEvent: true }); return; }
  if (data.kind !== "points") return;
  try {
    document.body.style.background = data.ground;
    if (!plot) make();
    const n = data.kinds.length, x = new Float32Array(n), y = new Float32Array(n);
    for (let i = 0; i < n; i++) { x[i] = data.xy[2 * i] * 0.88; y[i] = data.xy[2 * i + 1] * 0.88; }
    plot.set({ backgroundColor: data.ground, colorBy: "category", pointColor: data.colours, pointSize: n > 20000 ? 2 : n > 2000 ? 4 : 7 });
    await plot.draw({ x, y, z: Array.from(data.kinds) }, { preventFilterReset: true });
    canvas.dataset.drawn = String(n);
    last = data;
  } catch (error) { say({ kind: "problem", text: `the map needs WebGL, which this browser does not give (${error.message})` }); }
});
say({ kind: "ready" });
export { last };
