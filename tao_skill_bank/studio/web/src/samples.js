// Every board of a set by its score: piles that re-count as the threshold moves, facets, map, export.
import { html, saidShort, useState, useEffect, useRef, useContext, useMemo, App, Empty, Problem, Waiting, Key, count, go, percent, phaseName, plural, put, setTitle, tell, to, useKeys, Dialog } from "./ui.js";
import { download, get, post } from "./api.js";
import { isPlain, readSet, Texts, PILES, pileName } from "./columns.js";
import { Histogram } from "./histogram.js";
import { Grid } from "./grid.js";
import { SampleMap } from "./mapview.js";

const SETS = ["kpi", "acceptance", "training", "validation", "pool"];

export function Samples({ query }) {
  const { home, labels } = useContext(App);
  const runs = home.runs.filter((r) => r.samples && !r.problem);
  const run = query.run || runs.find((r) => r.best_iteration)?.name || runs[0]?.name;
  const asked = useMemo(() => ({ run, set: query.set || "kpi", iteration: query.iteration }), [run, query.set, query.iteration]);
  const [{ table, error }, set] = useState({});
  const [turn, again] = useState(0);
  useEffect(() => {
    if (!run) return undefined;
    const stop = new AbortController();
    set({});
    readSet(asked, stop.signal, isPlain(query) && ((part) => !stop.signal.aborted && set({ table: part }))).then((t) => set({ table: t }), (e) => e.name !== "AbortError" && set({ error: e }));
    return () => stop.abort();
  }, [asked, turn]);
  if (!run) return html`<main><h1>Samples</h1><${Empty} title="No run with boards yet"><p>Boards are shown when a run has scored them. <a href=${to("/plan")}>Plan a run</a>.</p><//></main>`;
  const head = html`<div class="head tight"><h1>Samples</h1><div class="choices">
    <label>Run <select value=${run} onChange=${(e) => put("/samples", { run: e.target.value, set: asked.set })}>${runs.map((r) => html`<option value=${r.name}>${r.name}</option>`)}</select></label>
    <label>Set <select value=${asked.set} onChange=${(e) => put("/samples", { run, set: e.target.value })}>${SETS.map((s) => html`<option value=${s}>${setTitle[s]}</option>`)}</select></label>
    ${table && table.about.iterations.length > 1 && html`<label>${table.scores ? "Model" : "As of"} <select value=${table.about.iteration} onChange=${(e) => put("/samples", { ...query, run, iteration: e.target.value })}>${table.about.iterations.map((i) => html`<option value=${i}>${phaseName(i)}</option>`)}</select></label>`}</div></div>`;
  if (error?.status === 403 && asked.set === "acceptance") return html`<main>${head}<${Closed} run=${run} opened=${() => again((n) => n + 1)} /></main>`;
  if (error) return html`<main>${head}<${Problem} error=${error} again=${() => again((n) => n + 1)} /></main>`;
  if (!table) return html`<main>${head}<${Waiting} what="Reading the set" /></main>`;
  return html`<main class="wide">${head}<${Sheet} key=${`${table.about.set}${table.about.iteration}${table.about.digest}`} table=${table} asked=${{ ...asked, iteration: table.about.iteration }} query=${query} labels=${labels} /></main>`;
}

export function Closed({ run, opened }) {
  const { reader, home } = useContext(App);
  const [sure, ask] = useState(false);
  const open = async () => { try { await post("/looks", { run, who: reader }); ask(false); opened(); } catch (e) { tell(e.line, "bad"); } };
  return html`<${Empty} title="Acceptance boards are closed"><p>They judge the model because nobody has seen them. Whoever opens them spends the set: it is written down, and the report says so.</p>
    <p>The figures by defect type stand on the <a href=${to(`/run/${run}`)}>run</a>, without a look at a board.</p><button class="tool" onClick=${() => ask(true)} disabled=${!!home.writable} title=${home.writable || ""}>Open them…</button>
    ${home.writable && html`<p class="bad">${home.writable}: a look could not be written down.</p>`}
    ${sure && html`<${Dialog} title="Open the acceptance boards?" onClose=${() => ask(false)}><p>It will say “looked at by <b>${reader}</b> on ${new Date().toISOString().slice(0, 10)}”. The set counts as spent from then on.</p><div class="acts"><button class="tool" onClick=${() => ask(false)}>Keep them closed</button><button class="tool strong" onClick=${open}>Open, and record it</button></div><//>`}<//>`;
}

function Sheet({ table, asked, query, labels }) {
  const about = table.about;
  const coded = (name, text) => { const list = name === "label" ? about.labels : about.facets.find((f) => f.name === name)?.values || []; return new Set((text || "").split(",").filter(Boolean).map((v) => list.indexOf(v)).filter((i) => i >= 0)); };
  const own = useMemo(() => [{ name: "label", title: "label", values: about.labels, counts: null }, ...about.facets], [about]);
  const { marks: beside, marked, compare } = useMarks(table, asked, labels);
  const facets = useMemo(() => [...own, ...marked], [own, marked]);
  const [wanted, want] = useState(() => Object.fromEntries(own.map((f) => [f.name, coded(f.name, query[f.name])])));
  // What an address asks of a facet that comes later is asked when it is there.
  useEffect(() => { const late = marked.filter((f) => !(f.name in wanted) && query[f.name]); if (late.length) want({ ...wanted, ...Object.fromEntries(late.map((f) => [f.name, new Set(query[f.name].split(",").map((v) => f.values.indexOf(v)).filter((i) => i >= 0))])) }); }, [marked]);
  const [lasso, setLasso] = useState(null);
  const [threshold, move] = useState(about.threshold);
  const [quick, setQuick] = useState(false);
  const [pile, setPile] = useState(query.pile && PILES.includes(query.pile) ? query.pile : table.scores && about.threshold !== null && !query.label ? ["missed", "false", "all"].find((p) => table.at(about.threshold)[p]) || "all" : "all");
  const [light, setLight] = useState(0);
  const [size, setSize] = useState(innerWidth < 600 ? 108 : 148);
  const [picked, setPicked] = useState(new Set());
  const [focus, setFocus] = useState(0);
  const [map, setMap] = useState(query.map === "1");
  const [, drawn] = useState(0);
  const [version, next] = useState(0);
  const texts = useMemo(() => new Texts({ ...asked }, () => drawn((n) => n + 1)), [asked.run, asked.set, asked.iteration]);
  const late = marked.some((f) => wanted[f.name]?.size) ? marked : null;
  useMemo(() => { table.filter(wanted, lasso); }, [table, wanted, lasso, late]);
  useEffect(() => { next((n) => n + 1); setFocus(0); }, [wanted, lasso, late]);
  const counts = table.at(threshold);
  const figures = table.figures(counts);
  const total = counts[pile];
  const anchor = useRef(null);
  const moved = useRef(0);
  const onMove = (t) => { setQuick(true); clearTimeout(moved.current); moved.current = setTimeout(() => setQuick(false), 140); move(t); };
  const pick = (i) => table.pick(pile, counts, i);
  const onPick = (k, i, range) => {
    const n = new Set(picked);
    if (range && anchor.current !== null) for (let j = Math.min(anchor.current, i); j <= Math.max(anchor.current, i) && n.size < 100000; j++) n.add(pick(j));
    else if (n.has(k)) n.delete(k); else n.add(k);
    anchor.current = i;
    setPicked(n);
  };
  const href = (row) => to("/board", { ...asked, row });
  const onOpen = (i) => {
    const list = [];
    for (let j = Math.max(0, i - 500); j < Math.min(total, i + 4500); j++) list.push(table.rows[pick(j)]);
    sessionStorage.setItem("studio.queue", JSON.stringify({ ...asked, list, back: location.hash, title: `${pileName[pile].toLowerCase()} of ${setTitle[about.set]}` }));
  };
  const marks = {
    wrong: (k) => { if (!table.scores || threshold === null) return ""; const good = table.good[table.label[k]], flagged = table.scores[k] > threshold; return good && flagged ? "false call" : !good && !flagged ? "missed" : ""; },
    said: (text) => labels.of(about.set, text.sample),
    href,
  };
  const save = async (kind) => {
    const rows = new Uint32Array(picked.size || total);
    if (picked.size) [...picked].forEach((k, j) => { rows[j] = table.rows[k]; });
    else for (let i = 0; i < total; i++) rows[i] = table.rows[pick(i)];
    try { download(await (await post("/samples/export", new Uint8Array(rows.buffer), { ...asked, kind })).blob(), `${about.run}_${about.set}_${picked.size ? "picked" : pile}.${kind}`); tell(`${plural(rows.length, "row")} saved`); } catch (e) { tell(e.line, "bad"); }
  };
  const turn = (name, code) => { const s = new Set(wanted[name]); s.has(code) ? s.delete(code) : s.add(code); const w = { ...wanted, [name]: s }; want(w); const f = facets.find((x) => x.name === name); put("/samples", { ...query, [name]: [...s].map((c) => f.values[c]).join(",") || undefined, pile: query.pile }); };
  const open = (p) => { setPile(p); setFocus(0); put("/samples", { ...query, run: about.run, pile: p }); };
  useKeys({ "1": () => open("missed"), "2": () => open("false"), "3": () => open("near"), "4": () => open("right"), "5": () => open("all"), m: () => setMap(!map), "+": () => setSize(Math.min(320, size + 40)), "-": () => setSize(Math.max(68, size - 40)), Escape: () => { setPicked(new Set()); setLasso(null); } });
  const active = Object.values(wanted).some((s) => s?.size) || lasso;
  // Of the first rows of a large set boards are shown; what is told of the whole waits for it.
  const partial = about.partial, told = (what) => (partial ? "…" : what);
  return html`<div class="samples ${map ? "with-map" : ""} ${partial ? "partial" : ""}">
    ${table.scores && threshold !== null && html`<section class="scores" inert=${partial}><${Histogram} table=${table} threshold=${threshold} own=${about.threshold} version=${version} onMove=${onMove} onDone=${() => setQuick(false)} />
      <dl class="numbers"><div><dt>recall</dt><dd>${told(percent(figures.recall))}</dd></div><div><dt>FAR</dt><dd>${told(percent(figures.far))}</dd></div><div><dt>threshold</dt><dd>${threshold.toPrecision(4)}</dd></div>${threshold !== about.threshold && html`<button class="tool" onClick=${() => move(about.threshold)}>Back to the model's</button>`}</dl></section>`}
    <div class="bar" role="toolbar" aria-label="Piles">
      <div class="tabs">${PILES.filter((p) => (table.scores && threshold !== null) || p === "all").map((p, i) => html`<button aria-pressed=${pile === p} class="tab ${p}" onClick=${() => open(p)}><span>${pileName[p]}</span> <b data-pile=${p}>${told(count(counts[p]))}</b> <${Key}>${i + 1}<//></button>`)}</div>
      <div class="tools">${about.lights.length > 1 && html`<label class="small">Lighting <select value=${light} onChange=${(e) => setLight(+e.target.value)}>${about.lights.map((l, i) => html`<option value=${i}>${l}</option>`)}</select></label>`}
        <label class="small">Size <input type="range" min="68" max="320" step="4" value=${size} onInput=${(e) => setSize(+e.target.value)} /></label>
        <button class="tool" aria-pressed=${map} onClick=${() => setMap(!map)}>Map <${Key}>M<//></button>
        ${partial ? html`<span class="export" role="status">the worst of the first ${count(about.rows)} rows; the others are being read</span>` : html`<span class="export">${picked.size ? `${count(picked.size)} picked` : `${count(total)} here`}<button class="tool" onClick=${() => save("csv")}>CSV</button><button class="tool" onClick=${() => save("parquet")}>Parquet</button></span>`}</div></div>
    <div class="body"><aside class="facets" aria-label="Filters" inert=${partial}>${active && html`<button class="tool" onClick=${() => { want(Object.fromEntries(facets.map((f) => [f.name, new Set()]))); setLasso(null); put("/samples", { run: about.run, set: about.set, iteration: query.iteration, pile }); }}>Clear filters${lasso ? " and lasso" : ""}</button>`}
      ${facets.map((f) => html`<${FacetList} facet=${f} table=${table} wanted=${wanted[f.name] || new Set()} turn=${(c) => turn(f.name, c)} open=${innerWidth > 640 && ["label", "change", "source", "corrected", "suspicion"].includes(f.name)} />`)}
      ${table.scores && !marked.some((f) => f.name === "suspicion") && html`<div class="ask-suspicion"><button class="tool" disabled=${beside.busy} onClick=${compare}>Look for doubtful labels</button><small class="soft" role="status">${beside.problem || (beside.busy ? (beside.total ? `comparing pictures: ${count(beside.done)} of ${count(beside.total)}` : "comparing pictures") : "compares the pictures, once")}</small></div>`}</aside>
      <div class="boards">${map && !partial && html`<${SampleMap} table=${table} asked=${asked} threshold=${threshold} onLasso=${(rows) => setLasso(rows)} lasso=${lasso} />`}
        ${total ? html`<${Grid} total=${total} pick=${pick} table=${table} texts=${texts} query=${asked} light=${light} size=${size} quick=${quick} picked=${picked} onPick=${onPick} onOpen=${onOpen} marks=${marks} focus=${focus} setFocus=${setFocus} />`
          : partial ? html`<${Waiting} what="Reading the set" />`
          : html`<${Empty} title=${active ? "No boards here" : pile === "missed" ? "Nothing is missed" : pile === "false" ? "No false calls" : "No boards here"}><p>${active ? "No board fits these filters." : "At this threshold this pile is empty. Move the line, or look at another pile."}</p><//>`}</div></div>
    <p class="hints"><span><${Key}>1<//>–<${Key}>5<//> piles</span><span><${Key}>←↑↓→<//> move</span><span><${Key}>↵<//> open</span><span><${Key}>space<//> pick</span><span><${Key}>+<//> <${Key}>−<//> size</span><span><${Key}>esc<//> clear</span></p></div>`;
}

// What people said and what speaks against a label: told by row, beside the columns of the file.
function useMarks(table, asked, labels) {
  const [state, set] = useState({ facets: [], done: 0, total: 0, ready: false, problem: null });
  const [wish, compare] = useState(false);
  const standing = (labels.data?.standing || []).map((s) => `${s.set}/${s.sample}/${s.status}`).join();
  useEffect(() => {
    const stop = new AbortController();
    let timer = 0;
    if (table.about.partial) return undefined;
    const ask = () => get("/samples/marks", { ...asked, compare: wish ? "1" : undefined }, stop.signal).then((d) => { set(d); if (wish && !d.ready) timer = setTimeout(ask, 900); }, () => {});
    ask();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [table, standing, wish]);
  const marked = useMemo(() => state.facets.map((f) => table.mark({ ...f, values: f.name === "corrected" ? f.values.map((v) => saidShort[v] || v) : f.values })), [table, state]);
  return { marks: { ...state, busy: wish && !state.ready }, marked, compare: () => compare(true) };
}

function FacetList({ facet, wanted, turn, open, table }) {
  const [find, seek] = useState("");
  const counts = useMemo(() => { if (facet.counts) return facet.counts; const n = new Array(facet.values.length).fill(0); for (const c of table.columns[facet.name]) n[c]++; return n; }, [facet, table]);
  const many = facet.values.length > 12;
  const shown = facet.values.map((v, i) => [v, i]).filter(([v, i]) => counts[i] && (!find || v.toLowerCase().includes(find.toLowerCase()))).slice(0, find ? 60 : many ? 12 : 40);
  return html`<details open=${open || wanted.size > 0}><summary>${facet.title} <small>${facet.values.length > 1 ? count(facet.values.length) : ""}</small></summary>
    ${many && html`<input type="search" placeholder="find…" aria-label="Find in ${facet.title}" value=${find} onInput=${(e) => seek(e.target.value)} />`}
    <ul>${shown.map(([v, i]) => html`<li><label><input type="checkbox" checked=${wanted.has(i)} onChange=${() => turn(i)} /><span>${v}</span><small>${count(counts[i])}</small></label></li>`)}</ul>
    ${many && !find && html`<small class="soft">${count(facet.values.length - shown.length)} more; write to find</small>`}</details>`;
}

export { go };
