// One board: golden beside capture, and a verdict by one key.
import { html, useState, useEffect, useRef, useContext, useMemo, useAsk, App, Problem, Waiting, Key, Thumb, go, percent, phaseName, score, setTitle, tell, to, useInTurn, useKeys, visit } from "./ui.js";
import { get, kept, newest, picture, post, say, settled } from "./api.js";
import { Closed } from "./samples.js";

const MODES = [["side", "Side by side", "b"], ["slide", "Slider", "l"], ["flick", "Flicker", "f"], ["diff", "Difference", "g"]];
const queue = () => { try { return JSON.parse(sessionStorage.getItem("studio.queue") || "null"); } catch { return null; } };

// A key that was meant for a board that does not show yet is nobody's verdict, and that is said.
const tooEarly = () => tell("not saved: the board is still opening; give the verdict when it shows", "bad");
const notYet = Object.fromEntries([..."mpkeqsx"].map((key) => [key, tooEarly]));

export function Board({ query }) {
  const { data: board, error, again } = useAsk("/board", { run: query.run, set: query.set, iteration: query.iteration, row: query.row, sample: query.sample });
  useKeys(notYet, !board && !error);
  if (error?.status === 403 && query.set === "acceptance") return html`<main><${Closed} run=${query.run} opened=${again} /></main>`;
  if (error && !board) return html`<main><${Problem} error=${error} again=${again} /></main>`;
  if (!board) return html`<main><${Waiting} what="Opening the board" /></main>`;
  return html`<${Open} board=${board} query=${query} again=${again} stale=${String(board.row.row) !== String(query.row) && query.row !== undefined} />`;
}

// Zoom and move, the same in every pane, by the browser's own transforms.
function useView(key) {
  const [view, set] = useState({ z: 1, x: 0, y: 0 });
  useEffect(() => set({ z: 1, x: 0, y: 0 }), [key]);
  const held = useRef(null);
  const zoom = (by, px, py) => set((v) => { const z = Math.max(1, Math.min(64, v.z * by)), r = z / v.z; return z === 1 ? { z: 1, x: 0, y: 0 } : { z, x: px - (px - v.x) * r, y: py - (py - v.y) * r }; });
  const at = (e) => { const r = e.currentTarget.getBoundingClientRect(); return [e.clientX - r.left - r.width / 2, e.clientY - r.top - r.height / 2]; };
  const acts = {
    onWheel: (e) => { e.preventDefault(); zoom(e.deltaY < 0 ? 1.25 : 0.8, ...at(e)); },
    onPointerDown: (e) => { if (e.target.closest("[role=slider]")) return; held.current = [e.clientX, e.clientY]; e.currentTarget.setPointerCapture(e.pointerId); },
    onPointerMove: (e) => { if (!held.current) return; const [x, y] = held.current; held.current = [e.clientX, e.clientY]; set((v) => (v.z === 1 ? v : { ...v, x: v.x + e.clientX - x, y: v.y + e.clientY - y })); },
    onPointerUp: () => { held.current = null; }, onPointerCancel: () => { held.current = null; },
    onDblClick: (e) => (view.z > 1 ? set({ z: 1, x: 0, y: 0 }) : zoom(4, ...at(e))),
  };
  return { style: { transform: `translate(${view.x}px, ${view.y}px) scale(${view.z})` }, zoom, acts, z: view.z, reset: () => set({ z: 1, x: 0, y: 0 }) };
}

function Panes({ board, light, mode }) {
  const at = { run: board.run, set: board.set, iteration: board.iteration, row: board.row.row, light };
  const capture = picture(at), golden = picture({ ...at, side: "golden" });
  const view = useView(`${board.row.row}`);
  const [flip, turn] = useState(false);
  const [cut, slide] = useState(50);
  useEffect(() => { if (mode !== "flick") return undefined; const t = setInterval(() => turn((f) => !f), matchMedia("(prefers-reduced-motion: reduce)").matches ? 1500 : 420); return () => clearInterval(t); }, [mode]);
  useKeys({ "+": () => view.zoom(1.5, 0, 0), "=": () => view.zoom(1.5, 0, 0), "-": () => view.zoom(1 / 1.5, 0, 0), "0": view.reset });
  const img = (src, alt, style = {}) => html`<img class="big" src=${src} alt=${alt} draggable=${false} style=${{ ...view.style, ...style }} />`;
  const name = board.row.sample;
  if (mode === "side") return html`<div class="panes two-up">${[["golden", golden, "Golden"], ["capture", capture, "Capture"]].map(([k, src, said]) => html`<figure key=${k}><div class="pane" ...${view.acts}>${img(src, `${said} of ${name}`)}</div><figcaption>${said}</figcaption></figure>`)}</div>`;
  const key = (e) => { const by = { ArrowLeft: -2, ArrowRight: 2 }[e.key]; if (by) { e.preventDefault(); e.stopPropagation(); slide(Math.max(0, Math.min(100, cut + by))); } };
  const drag = (e) => { if (e.buttons !== 1) return; const r = e.currentTarget.parentElement.getBoundingClientRect(); slide(Math.max(0, Math.min(100, (100 * (e.clientX - r.left)) / r.width))); };
  return html`<div class="panes one-up"><figure><div class="pane ${mode}" ...${view.acts}>
    ${mode === "flick" && img(flip ? capture : golden, `${flip ? "Capture" : "Golden"} of ${name}`)}
    ${mode === "diff" && html`${img(golden, `Golden of ${name}`)}${img(capture, `Capture of ${name}`, { mixBlendMode: "difference" })}`}
    ${mode === "slide" && html`${img(golden, `Golden of ${name}`)}<div class="over" style=${{ clipPath: `inset(0 0 0 ${cut}%)` }}>${img(capture, `Capture of ${name}`)}</div>
      <div class="cut" role="slider" tabindex="0" aria-label="Golden to the left, capture to the right" aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(cut)} style=${{ left: `${cut}%` }} onKeyDown=${key} onPointerDown=${(e) => e.currentTarget.setPointerCapture(e.pointerId)} onPointerMove=${drag}></div>`}
  </div><figcaption>${{ flick: flip ? "Capture" : "Golden", diff: "What differs, brightened", slide: "Golden | capture" }[mode]}</figcaption></figure></div>`;
}

export function Open({ board, query, again, stale }) {
  const { reader, home, labels } = useContext(App);
  const [light, setLight] = useState(0);
  const [mode, setMode] = useState(kept.get("studio.mode") || "side");
  const [asking, ask] = useState(false);
  const [note, setNote] = useState("");
  const noteBox = useRef();
  const line = queue(), where = line && line.run === board.run && line.set === board.set ? line.list.indexOf(board.row.row) : -1;
  const names = useMemo(() => [...new Set(["PASS", ...board.labels, ...labels.names])], [labels.names, board.labels]);
  useEffect(() => { setNote(""); ask(false); }, [board.row.row]);
  const step = (by) => {
    if (where < 0) return;
    const next = line.list[where + by];
    if (next === undefined) { tell(by > 0 ? "the last of this pile" : "the first of this pile"); return; }
    const { sample: _, ...rest } = query;
    go("/board", { ...rest, row: next });
  };
  // The next board's pictures are there before it is asked for.
  useEffect(() => { if (where >= 0 && line.list[where + 1] !== undefined) ["input", "golden"].forEach((side) => { new Image().src = picture({ run: board.run, set: board.set, iteration: board.iteration, row: line.list[where + 1], light, side: side === "golden" ? side : undefined }); }); }, [board.row.row, light]);
  const why = home.writable || board.unknown;
  const give = async (word) => {
    if (why) { tell(why, "bad"); return; }
    if (stale) { tooEarly(); return; }
    const sent = { sample: board.row.sample, set: board.set, who: reader, run: board.run, score: board.row.score, pictures: board.pictures, note, ...word };
    const done = say("/labels", [sent], () => tell(`${board.row.object_name}: ${said(sent)}`));
    step(1);
    try { await done; labels.again(); if (where < 0 || line.list[where + 1] === undefined) again(); } catch (e) { tell(e.line, "bad"); }
  };
  const undo = async () => {
    if (why) { tell(why, "bad"); return; }
    try {
      await settled();
      const here = await get("/board", { run: board.run, set: board.set, iteration: board.iteration, row: board.row.row });
      const taken = here.verdicts.find((v) => v.who === reader) || newest(words(await get("/labels")), reader);
      if (!taken) { tell("nothing of yours to take back"); return; }
      await post("/labels/undo", { what: taken.id, who: reader });
      tell(`taken back: ${taken.sample}`); labels.again(); again();
    } catch (e) { tell(e.line, "bad"); }
  };
  const choose = (i) => { ask(false); give({ reason: "mislabeled", to: names[i] }); };
  useKeys(useInTurn({
    m: () => ask(true), p: () => give({ reason: "mislabeled", to: "PASS" }), k: () => give({ reason: "edge_case", to: board.label || board.row.label, note: note || "label is right" }),
    e: () => give({ reason: "edge_case", to: board.label || board.row.label }), q: () => give({ reason: "data_quality" }), s: () => give({ reason: "systematic" }), x: () => give({ reason: "data_quality", drop: true }),
    u: undo, n: () => step(1), ArrowRight: () => step(1), ArrowLeft: () => step(-1), t: () => noteBox.current.focus(), "]": () => setLight((light + 1) % board.lights.length), "[": () => setLight((light + board.lights.length - 1) % board.lights.length),
    Escape: () => (asking ? ask(false) : line && visit(line.back)),
    ...Object.fromEntries(MODES.map(([m, , k]) => [k, () => choosing(m)])), ...(asking ? Object.fromEntries(names.slice(0, 9).map((_, i) => [String(i + 1), () => choose(i)])) : {}),
  }));
  const choosing = (m) => { setMode(m); kept.set("studio.mode", m); };
  const flagged = board.threshold !== null && board.row.score !== null ? board.row.score > board.threshold : null;
  const model = flagged === null ? "" : board.row.good ? (flagged ? "false call" : "passed, rightly") : flagged ? "found" : "missed";
  const verdict = (key, text, word, cls = "") => html`<button class="verdict-key ${cls}" disabled=${!!why} onClick=${() => give(word)}><${Key}>${key}<//><span>${text}</span></button>`;
  return html`<main class="board">
    <div class="crumbs"><a href=${line?.back || to("/samples", { run: board.run, set: board.set })}>← ${line?.title || setTitle[board.set]}</a>${where >= 0 && html`<span class="soft" data-where=${where}>${where + 1} of ${line.list.length}</span>`}<span class="steps"><button class="tool" onClick=${() => step(-1)} disabled=${where < 1} aria-label="Before">←</button><button class="tool" onClick=${() => step(1)} disabled=${where < 0} aria-label="Next">→</button></span></div>
    <div class="board-body"><div class="look">
      <div class="modes" role="toolbar" aria-label="How to look">${MODES.map(([m, t, k]) => html`<button class="tool" aria-pressed=${mode === m} onClick=${() => choosing(m)}>${t} <${Key}>${k.toUpperCase()}<//></button>`)}<span class="soft hide-small">wheel zooms to pixels, drag moves, <${Key}>0<//> fits</span></div>
      <${Panes} board=${board} light=${light} mode=${mode} />
      ${board.lights.length > 1 && html`<div class="lights" role="group" aria-label="Lightings">${board.files.map((f, i) => html`<button class="light" aria-pressed=${i === light} onClick=${() => setLight(i)}><span><${Thumb} query=${{ run: board.run, set: board.set, iteration: board.iteration, row: board.row.row, light: i, side: "golden" }} edge=${96} alt="" /><${Thumb} query=${{ run: board.run, set: board.set, iteration: board.iteration, row: board.row.row, light: i }} edge=${96} alt="" /></span>${f.light || "image"}${!f.input && " (missing)"}</button>`)}</div>`}
    </div>
    <aside class="say"><h1 class="mono">${board.row.sample}</h1>
      <p class="facts"><b class=${board.row.good ? "pass" : "defect"}>${board.row.label}</b>${board.row.score !== null && html`<span>score <b>${score(board.row.score)}</b> ${model && html`<em class=${/false|missed/.test(model) ? "wrong" : ""}>${model}</em>`}</span>`}<span class="soft">${setTitle[board.set]}${board.threshold !== null ? `, line at ${score(board.threshold)}` : ""}</span></p>
      ${why && html`<p class="notice">${why}. Looking works; nothing can be corrected.</p>`}
      <div class="verdicts" role="group" aria-label="Verdict"><button class="verdict-key first" disabled=${!!why} aria-expanded=${asking} onClick=${() => ask(!asking)}><${Key}>M<//><span>Mislabeled…</span></button>
        ${asking && html`<div class="choose">${names.map((n, i) => html`<button class="tool ${n === board.row.label ? "now" : ""}" onClick=${() => choose(i)}>${i < 9 && html`<${Key}>${i + 1}<//> `}${n}</button>`)}</div>`}
        ${!board.row.good && verdict("P", "It is PASS", { reason: "mislabeled", to: "PASS" })}${verdict("K", "Label is right", { reason: "edge_case", to: board.label || board.row.label, note: note || "label is right" })}${verdict("E", "Edge case", { reason: "edge_case", to: board.label || board.row.label })}${verdict("Q", "Bad picture", { reason: "data_quality" })}${verdict("S", "Systematic", { reason: "systematic" })}${verdict("X", "Drop it", { reason: "data_quality", drop: true }, "drop")}</div>
      <label class="note"><span>Note <${Key}>T<//></span><input ref=${noteBox} value=${note} maxlength="400" disabled=${!!why} placeholder="in your words; goes with the verdict" onInput=${(e) => setNote(e.target.value)} onKeyDown=${(e) => (e.key === "Enter" || e.key === "Escape") && e.currentTarget.blur()} /></label>
      <p class="hints"><span><${Key}>U<//> take back</span><span><${Key}>←<//> <${Key}>→<//> before, next</span>${board.lights.length > 1 && html`<span><${Key}>[<//> <${Key}>]<//> lighting</span>`}<span><${Key}>esc<//> back</span></p>
      ${board.verdicts.length > 0 && html`<section><h2>Said of it</h2><ul class="plain words">${board.verdicts.map((v) => html`<li><b>${v.who}</b> ${said(v)} <small class="soft">${v.when.slice(0, 10)}${v.note ? ` · ${v.note}` : ""}</small></li>`)}</ul>${board.verdicts[0].status === "disputed" && html`<p class="notice">Readers differ: nothing changes until they agree.</p>`}</section>`}
      ${board.history.length > 0 && html`<section><h2>Under each model</h2><table class="dense"><tbody>${board.history.map((h) => { const f = h.score > h.threshold; return html`<tr><th>${phaseName(h.iteration)}</th><td class="n">${score(h.score)}</td><td class="soft n">line ${score(h.threshold)}</td><td class=${f === board.row.good ? "wrong" : "soft"}>${board.row.good ? (f ? "false call" : "passed") : f ? "found" : "missed"}</td></tr>`; })}</tbody></table></section>`}
      ${Object.keys(board.row.cells).length > 0 && html`<section><h2>Row ${board.row.row + 1}</h2><dl class="cells">${Object.entries(board.row.cells).slice(0, 14).map(([k, v]) => html`<div><dt>${k}</dt><dd>${v}</dd></div>`)}</dl></section>`}
      ${(board.why.length > 0 || board.neighbours.length > 0) && html`<section><h2>Mining</h2>${board.why.map((w) => html`<p class="soft">${w}</p>`)}${board.neighbours.length > 0 && html`<p class="soft">Mined for it:</p><ul class="plain dense">${board.neighbours.slice(0, 5).map((n) => html`<li><a href=${to("/board", { run: board.run, set: "pool", sample: n.sample })}>${n.sample}</a> <small>${percent(100 * n.likeness)} alike</small></li>`)}</ul>`}</section>`}
      <${Alike} board=${board} />
    </aside></div></main>`;
}

function Alike({ board }) {
  const { data } = useAsk("/alike", { run: board.run, set: board.set, iteration: board.iteration, row: board.row.row }, { every: (d) => (d.ready || d.problem ? 0 : 1500) });
  if (!data || data.problem) return null;
  return html`<section><h2>Looks like</h2>${data.ready ? (data.rows.length ? html`<div class="mini">${data.rows.map((r) => html`<a class="cell" href=${to("/board", { run: board.run, set: board.set, iteration: board.iteration, row: r.row })} title=${r.sample}><${Thumb} query=${{ run: board.run, set: board.set, iteration: board.iteration, row: r.row }} edge=${96} alt=${r.sample} /><span class="cap"><b class=${r.good ? "pass" : "defect"}>${r.label}</b></span></a>`)}</div>` : html`<p class="soft">It was not among those that were compared.</p>`) : html`<${Waiting} what="Comparing pictures" />`}</section>`;
}

export const words = (view) => view.standing.flatMap((s) => s.words);
export const said = (v) => (v.drop ? "drop it" : v.to && v.reason === "mislabeled" ? `it is ${v.to}` : { mislabeled: "its label is wrong", edge_case: v.note === "label is right" ? "label is right" : "an edge case", data_quality: "a bad picture", systematic: "systematic" }[v.reason]);
