// Labels to check first, beside what looks like them; and everything that was said.
import { html, useState, useContext, useAsk, App, Empty, Problem, Waiting, Key, Thumb, Chip, count, go, percent, phaseName, plural, put, score, setTitle, tell, to, useInTurn, useKeys } from "./ui.js";
import { get, newest, post, say, settled } from "./api.js";
import { said, words } from "./board.js";

export function Labels({ query }) {
  const { home, labels } = useContext(App);
  const runs = home.runs.filter((r) => r.samples && r.best_iteration);
  const run = query.run || runs[0]?.name;
  const tab = query.tab || "check";
  const standing = labels.data?.standing || [];
  const corrected = (labels.data?.counts.relabelled || 0) + (labels.data?.counts.dropped || 0);
  const disputed = standing.filter((s) => s.status === "disputed");
  return html`<main><div class="head tight"><h1>Labels</h1><div class="choices">${runs.length > 0 && html`<label>Run <select value=${run} onChange=${(e) => put("/labels", { ...query, run: e.target.value })}>${runs.map((r) => html`<option value=${r.name}>${r.name}</option>`)}</select></label>`}
      <label>Set <select value=${query.set || "kpi"} onChange=${(e) => put("/labels", { ...query, set: e.target.value })}><option value="kpi">KPI</option><option value="acceptance">Acceptance</option></select></label></div>
      <div class="acts"><a class="tool strong" href=${to("/plan", { like: run })}>${corrected ? `Plan with ${plural(corrected, "correction")}` : "Plan the next run"}</a></div></div>
    <div class="tabs"><button class="tab" aria-pressed=${tab === "check"} onClick=${() => put("/labels", { ...query, tab: "check" })}>To check first</button><button class="tab" aria-pressed=${tab === "said"} onClick=${() => put("/labels", { ...query, tab: "said" })}>Said so far <b>${count(standing.length)}</b></button>${disputed.length > 0 && html`<button class="tab" aria-pressed=${tab === "disputed"} onClick=${() => put("/labels", { ...query, tab: "disputed" })}>In dispute <b>${disputed.length}</b></button>`}</div>
    ${tab === "check" ? (run ? html`<${Suspects} run=${run} set=${query.set || "kpi"} standing=${standing} />` : html`<${Empty} title="No measured run yet"><p>A model has to score the boards first.</p><//>`) : html`<${Said} list=${tab === "disputed" ? disputed : standing} run=${run} />`}
  </main>`;
}

function Suspects({ run, set, standing }) {
  const { reader, home, labels } = useContext(App);
  const { data, error } = useAsk("/suspects", { run, set }, { every: (d) => (d.ready ? 0 : 900) });
  const [at, move] = useState(0);
  const [asking, ask] = useState(false);
  const by = new Map(standing.filter((s) => s.set === set).map((s) => [s.sample, s]));
  // A verdict closes a card for its reader; where readers differ it stays in the queue of all.
  const open = (data?.suspects || []).filter((s) => { const st = by.get(s.sample); return !st || st.status === "disputed" || !st.words.some((w) => w.who === reader); });
  const place = Math.min(at, Math.max(0, open.length - 1)), now = open[place];
  const names = [...new Set(["PASS", ...(data?.labels || []), ...labels.names])];
  const give = async (word) => {
    if (!now) return;
    if (home.writable) { tell(home.writable, "bad"); return; }
    ask(false);
    const sent = { sample: now.sample, set, who: reader, run, score: now.score, note: "", ...word };
    try { const done = say("/labels", [sent], () => tell(`${now.object_name}: ${said(sent)}`)); labels.add(sent); await done; labels.again(); } catch (e) { tell(e.line, "bad"); labels.again(); }
  };
  const undo = async () => {
    try { await settled(); const last = newest(words(await get("/labels")), reader); if (!last) { tell("nothing of yours to take back"); return; } await post("/labels/undo", { what: last.id, who: reader }); tell(`taken back: ${last.sample}`); labels.again(); } catch (e) { tell(e.line, "bad"); }
  };
  const wrong = () => (now.good ? ask(true) : give({ reason: "mislabeled", to: "PASS" }));
  useKeys(useInTurn({ k: () => now && give({ reason: "edge_case", to: now.label, note: "label is right" }), p: () => give({ reason: "mislabeled", to: "PASS" }), m: () => now && ask(true), e: () => now && give({ reason: "edge_case", to: now.label }), q: () => give({ reason: "data_quality" }), s: () => give({ reason: "systematic" }), x: () => give({ reason: "data_quality", drop: true }), u: undo, ArrowRight: () => move(Math.min(open.length - 1, place + 1)), n: () => move(Math.min(open.length - 1, place + 1)), ArrowLeft: () => move(Math.max(0, place - 1)),
    Enter: () => now && go("/board", { run, set, row: now.row }), Escape: () => ask(false), ...(asking ? Object.fromEntries(names.slice(0, 9).map((n, i) => [String(i + 1), () => give({ reason: "mislabeled", to: n })])) : {}) }));
  if (error?.status === 403 && set === "acceptance") return html`<${Empty} title="Acceptance boards are closed"><p><a href=${to("/samples", { run, set: "acceptance" })}>Open them</a> with your name first.</p><//>`;
  if (error && !data) return html`<${Problem} error=${error} />`;
  if (data?.problem) return html`<${Problem} error=${{ message: data.problem, fix: "bring the pictures back, then open this page again" }} />`;
  if (!data || !data.ready) return html`<${Waiting} what=${data?.total ? `Comparing pictures: ${count(data.done)} of ${count(data.total)}` : "Reading"} />`;
  if (!now) return html`<${Empty} title=${data.suspects.length ? "All of them are looked at" : "No label stands out"}><p>${data.suspects.length ? html`Thank you, ${reader}. <a href=${to("/plan", { like: run })}>Plan the next run</a> with what was said.` : `Of ${plural(data.total, "board")} that were compared, none has a label that is contradicted by what looks like it and by the model at once.`}</p><//>`;
  const q = { run, set, iteration: data.iteration };
  return html`<div class="suspects"><article class="suspect" key=${now.row}>
      <div class="pair"><figure><${Thumb} query=${{ ...q, row: now.row, side: "golden" }} edge=${384} alt="Golden of ${now.sample}" cls="large" /><figcaption>Golden</figcaption></figure><figure><${Thumb} query=${{ ...q, row: now.row }} edge=${384} alt="Capture of ${now.sample}" cls="large" /><figcaption>Capture</figcaption></figure></div>
      <div class="ask"><p class="soft" data-left=${open.length}>${place + 1} of ${plural(open.length, "label")} to check</p><h2>Is this ${now.good ? html`<b class="pass">PASS</b>` : html`a <b class="defect">${now.label}</b>`}?</h2>
        <p class="mono small">${now.sample}</p><dl class="cells"><div><dt>suspicion</dt><dd><${Meter} value=${now.suspicion} /></dd></div><div><dt>look-alikes</dt><dd><${Meter} value=${now.look_alikes} /></dd></div><div><dt>model</dt><dd><${Meter} value=${now.model} /></dd></div></dl>
        <div class="verdicts"><button class="verdict-key" onClick=${() => give({ reason: "edge_case", to: now.label, note: "label is right" })}><${Key}>K<//><span>Label is right</span></button>
          ${!now.good && html`<button class="verdict-key first" onClick=${wrong}><${Key}>P<//><span>No, it is PASS</span></button>`}<button class="verdict-key ${now.good ? "first" : ""}" aria-expanded=${asking} onClick=${() => ask(!asking)}><${Key}>M<//><span>${now.good ? "No, a defect…" : "Another defect…"}</span></button>
          ${asking && html`<div class="choose">${names.map((n, i) => html`<button class="tool" onClick=${() => give({ reason: "mislabeled", to: n })}>${i < 9 && html`<${Key}>${i + 1}<//> `}${n}</button>`)}</div>`}
          <button class="verdict-key" onClick=${() => give({ reason: "data_quality" })}><${Key}>Q<//><span>Bad picture</span></button><button class="verdict-key drop" onClick=${() => give({ reason: "data_quality", drop: true })}><${Key}>X<//><span>Drop it</span></button></div>
        ${by.get(now.sample)?.status === "disputed" && html`<p class="notice">${by.get(now.sample).words.map((w) => `${w.who}: ${said(w)}`).join("; ")}. It stays here until readers agree.</p>`}
        <p class="hints"><span><${Key}>U<//> take back</span><span><${Key}>→<//> skip</span><span><${Key}>↵<//> open the board</span></p></div></article>
    <section><h2>What looks like it</h2><div class="strip">${now.neighbours.map((n) => html`<a class="cell" href=${to("/board", { ...q, row: n.row })}><${Thumb} query=${{ ...q, row: n.row }} alt="row ${n.row}" /><span class="cap"><b class=${n.label.toUpperCase() === "PASS" ? "pass" : "defect"}>${n.label}</b><i>${percent(100 * n.likeness)}</i></span></a>`)}</div></section>
    <section><h2>Next</h2><div class="strip small">${open.slice(place + 1, place + 11).map((s, i) => html`<button class="cell" onClick=${() => move(place + 1 + i)}><${Thumb} query=${{ ...q, row: s.row }} alt=${s.sample} edge=${96} /><span class="cap"><b class=${s.good ? "pass" : "defect"}>${s.label}</b><i>${score(s.suspicion)}</i></span></button>`)}</div></section></div>`;
}

const Meter = ({ value }) => (value === null ? html`<span class="soft">not compared</span>` : html`<span class="meter"><svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="ground" width="100" height="8" rx="3" /><rect class="full" width=${100 * value} height="8" rx="3" /></svg>${value.toFixed(2)}</span>`);

function Said({ list, run }) {
  const { reader, labels, home } = useContext(App);
  if (!list.length) return html`<${Empty} title="Nothing said yet"><p>Give a verdict on a board, and it stands here: by whom, when, and what it changes. At a terminal: <code>tao-skills labels list</code>.</p><//>`;
  const undo = async (w) => { try { await post("/labels/undo", { what: w.id, who: reader }); tell(`taken back: ${w.sample}`); labels.again(); } catch (e) { tell(e.line, "bad"); } };
  return html`<div class="scroll"><table><thead><tr><th>board</th><th>set</th><th>stands as</th><th>said by</th><th></th></tr></thead><tbody>${[...list].reverse().slice(0, 500).map((s) => html`<tr key=${s.set + s.sample}><th class="mono"><a href=${to("/board", { run, set: s.set, sample: s.sample })}>${s.sample}</a></th><td>${setTitle[s.set] || s.set}</td><td><${Chip} tone=${{ relabelled: "met", dropped: "stopped", disputed: "near" }[s.status]}>${s.status}${s.to ? ` ${s.words[0].before} → ${s.to}` : ""}<//></td>
    <td>${s.words.map((w) => html`<div><b>${w.who}</b> ${said(w)} <small class="soft">${w.when.slice(0, 10)}${w.note ? ` · ${w.note}` : ""}</small></div>`)}</td><td>${s.words.filter((w) => w.who === reader).map((w) => html`<button class="tool" disabled=${!!home.writable} onClick=${() => undo(w)}>Take back</button>`)}</td></tr>`)}</tbody></table></div>`;
}
export { phaseName };
