// The page: where it is, who looks, what is on its way.
import { render } from "preact";
import { html, App, useAsk, usePlace, useState, useEffect, useMemo, Problem, Waiting, Toasts, Empty, saidShort, place, tell, to } from "./ui.js";
import { again, kept, leave, refused, send, setWorkspace, unsent, watchUnsent } from "./api.js";
import { Runs, Run, Report, SignOff } from "./runs.js";
import { Samples } from "./samples.js";
import { ahead } from "./columns.js";
import { Board } from "./board.js";
import { Labels } from "./labels.js";
import { Plan } from "./plan.js";
import { Annotate } from "./annotate.js";
import { Holds, CertificatePage } from "./holds.js";
import { Compare } from "./compare.js";

const THEMES = ["auto", "light", "dark"];
function useTheme() {
  const [theme, set] = useState(kept.get("studio.theme") || "auto");
  useEffect(() => { if (theme === "auto") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = theme; kept.set("studio.theme", theme); dispatchEvent(new Event("studio-theme")); }, [theme]);
  return [theme, () => set(THEMES[(THEMES.indexOf(theme) + 1) % 3])];
}

function useLabels() {
  const ask = useAsk("/labels", {}, { every: 15000 });
  const [more, add] = useState([]);
  useEffect(() => add([]), [ask.data]);
  return useMemo(() => {
    const standing = [...(ask.data?.standing || [])];
    // What was just said counts at once; the next answer of the server takes its place.
    for (const w of more) { const i = standing.findIndex((s) => s.set === w.set && s.sample === w.sample); const word = { ...w, before: "", when: new Date().toISOString(), id: "" }; if (i < 0) standing.push({ sample: w.sample, set: w.set, status: "", to: w.to, words: [word] }); else standing[i] = { ...standing[i], words: [...standing[i].words.filter((x) => x.who !== w.who), word] }; }
    const by = new Map(standing.map((s) => [`${s.set}/${s.sample}`, s]));
    const names = [...new Set((ask.data?.standing || []).map((s) => s.to).filter(Boolean))];
    return { data: ask.data && { ...ask.data, standing }, again: ask.again, add: (w) => add((l) => [...l, w]), of: (set, sample) => { const s = by.get(`${set}/${sample}`); return s ? saidShort[s.status] : ""; }, names };
  }, [ask.data, more]);
}

// What the server refused, until it is given anew or left: nobody has to have seen a message that went by.
function NotSaved({ list }) {
  const where = (e) => { const w = e.words[0]; return e.path === "/labels" ? to("/board", { run: w.run, set: w.set, sample: w.sample }) : to("/annotate", { in: decodeURIComponent(e.path.split("/").pop()) }); };
  return html`<div class="notice not-saved" role="alert"><b>${list.length === 1 ? "One verdict was" : `${list.length} verdicts were`} not saved</b><ul class="plain">${list.slice(0, 20).map((e) => html`<li key=${e.id}><a href=${where(e)}>${e.words[0].sample}</a>, ${e.words[0].who}: ${e.refused} <button class="tool" onClick=${() => again(e).catch((x) => tell(x.line, "bad"))}>Give it again</button> <button class="tool" onClick=${() => leave(e)}>Leave it</button></li>`)}</ul></div>`;
}

function Page() {
  const at = usePlace();
  const home = useAsk("/runs", {}, { every: (d) => (d.runs.some((r) => r.working) ? 2500 : 15000) });
  const labels = useLabels();
  const [theme, turn] = useTheme();
  // Who said no name has the system's; one that was typed is never written over.
  const [named, setReader] = useState(kept.get("studio.reader") || null);
  const reader = named ?? home.data?.user.split("@")[0] ?? "";
  const [waiting, setWaiting] = useState(0);
  const [back, setBack] = useState([]);
  useEffect(() => { if (named !== null) kept.set("studio.reader", named); }, [named]);
  useEffect(() => {
    if (!home.data) return undefined;
    setWorkspace(home.data.workspace);
    const look = () => { setWaiting(unsent().length); setBack(refused()); };
    const later = () => unsent().length && send().then(() => labels.again());
    look();
    later();
    const t = setInterval(later, 4000);
    const stop = watchUnsent(look);
    return () => { clearInterval(t); stop(); };
  }, [home.data?.workspace]);
  if (home.error && !home.data) return html`<main><${Problem} error=${home.error} again=${home.again} /></main>`;
  if (!home.data) return html`<main><${Waiting} what="Opening the workspace" /></main>`;
  const { parts, query } = at;
  const view = parts[0] || "runs";
  const nav = [["runs", "Runs", "/"], ["samples", "Samples", "/samples"], ["labels", "Labels", "/labels"], ["annotate", "Annotate", "/annotate"], ["holds", "Holds", "/holds"], ["plan", "Plan", "/plan"]];
  const current = { run: "runs", report: "runs", compare: "runs", signoff: "runs", board: "samples", certificate: "holds" }[view] || view;
  const shared = { home: { ...home.data, again: home.again }, labels, reader, setReader };
  const views = {
    runs: () => html`<${Runs} />`, run: () => html`<${Run} name=${parts[1]} key=${parts[1]} />`, report: () => html`<${Report} name=${parts[1]} />`, signoff: () => html`<${SignOff} query=${query} />`, compare: () => html`<${Compare} query=${query} />`,
    samples: () => html`<${Samples} query=${query} />`, board: () => html`<${Board} query=${query} />`, labels: () => html`<${Labels} query=${query} />`, annotate: () => html`<${Annotate} query=${query} />`, holds: () => html`<${Holds} query=${query} />`, certificate: () => html`<${CertificatePage} query=${query} />`, plan: () => html`<${Plan} query=${query} key=${query.like} />`,
  };
  return html`<${App.Provider} value=${shared}><a class="skip" href="#content" onClick=${(e) => { e.preventDefault(); document.querySelector("main")?.focus(); }}>To the content</a>
    <header class="top"><a class="brand" href=${to("/")} title=${home.data.workspace}><svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true"><rect x="1" y="1" width="18" height="18" rx="4.5" class="chipbody" /><rect x="6" y="6" width="8" height="8" rx="1.5" class="die" /></svg><b>${home.data.name}</b></a>
      <nav aria-label="Views">${nav.map(([key, title, path]) => html`<a href=${to(path)} aria-current=${current === key ? "page" : undefined}>${title}</a>`)}</nav>
      <div class="who">${waiting > 0 && html`<span class="waiting-count" role="status">${waiting} not sent yet</span>`}${home.data.writable && html`<span class="chip near" title=${home.data.writable}>read-only</span>`}<label><span>Reader</span><input value=${reader} size=${Math.max(4, Math.min(18, reader.length))} aria-label="Your name, for verdicts" onInput=${(e) => setReader(e.target.value)} /></label><button class="tool" onClick=${turn} aria-label="Colours: ${theme}" title="Colours: ${theme}">${{ auto: "◐", light: "☀", dark: "☾" }[theme]}</button></div></header>
    ${home.error && html`<div class="notice offline" role="alert">The server does not answer. Verdicts are kept in this browser and sent when it is back.</div>`}
    ${back.length > 0 && html`<${NotSaved} list=${back} />`}
    <div id="content">${(views[view] || (() => html`<main><${Empty} title="Nothing here"><p><a href=${to("/")}>To the runs</a></p><//></main>`))()}</div><${Toasts} /><//>`;
}

// A set that the address names is read while the list of runs is.
if (place().parts[0] === "samples" && place().query.run) ahead(place().query);
render(html`<${Page} />`, document.getElementById("page"));
