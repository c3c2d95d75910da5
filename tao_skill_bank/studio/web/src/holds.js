// Will it hold? What certificates show of a threshold, and what monitors say of the line: their own words and charts.
import { html, useAsk, useContext, App, Empty, Problem, Waiting, Chip, Command, ago, count, percent, plural, put, to } from "./ui.js";
import { url } from "./api.js";

const tones = { alarm: "alarm", "no alarm": "met", reference: "near" };
const share = (v) => (v === null ? "" : percent(100 * v));

export function Holds({ query }) {
  const { home } = useContext(App);
  const { data, error, again } = useAsk("/holds", {}, { every: 30000 });
  const runs = home.runs.filter((r) => r.samples && r.best_iteration);
  const run = query.run || runs[0]?.name;
  if (error && !data) return html`<main><h1>Will it hold?</h1><${Problem} error=${error} again=${again} /></main>`;
  if (!data) return html`<main><h1>Will it hold?</h1><${Waiting} what="Reading monitors and certificates" /></main>`;
  return html`<main><div class="head"><h1>Will it hold?</h1><p class="soft">What the frozen threshold is shown to do, and whether the line still looks as it did.</p></div>
    <section><h2>On the line</h2>${data.monitors.map((m) => html`<${Monitor} m=${m} key=${m.name} />`)}
      ${!data.monitors.length && html`<${Empty} title="No monitor here yet"><p>A monitor takes each day's scores and says when they change. Make one in this workspace:</p><${Command}>tao-skills monitor start ${home.workspace}/line --certificate certificate.json<//><//>`}</section>
    <section><h2>Certificates</h2>${data.certificates.map((c) => html`<${Certificate} c=${c} key=${c.name} page />`)}
      ${!data.certificates.length && html`<p class="soft">None was written in this workspace yet.</p>`}</section>
    ${run && html`<section><div class="head tight"><h2>A run as it stands</h2>${runs.length > 1 && html`<label>Run <select value=${run} onChange=${(e) => put("/holds", { run: e.target.value })}>${runs.map((r) => html`<option>${r.name}</option>`)}</select></label>`}</div><${OfRun} run=${run} key=${run} home=${home} /></section>`}</main>`;
}

function OfRun({ run, home }) {
  const { data, error } = useAsk(`/holds/run/${encodeURIComponent(run)}`, {});
  if (error) return html`<${Problem} error=${error} />`;
  if (!data) return html`<${Waiting} what="Reading its scores" />`;
  return html`<${Certificate} c=${data} /><p class="soft">Nothing is written by looking. To certify it:</p><${Command}>tao-skills certify ${home.workspace}/results/${run} --to ${home.workspace}/certificate-${run}<//>`;
}

function Monitor({ m }) {
  if (m.problem) return html`<article class="holds alarm" data-monitor=${m.name}><h3>${m.name}</h3><p class="bad">${m.problem}</p></article>`;
  const s = m.status;
  const bounds = [["FAR (good parts flagged)", s.far], ["Recall (defects flagged)", s.recall]].filter(([, b]) => b);
  return html`<article class="holds ${tones[s.word]}" data-monitor=${m.name}><div class="head tight"><h3>${m.name}</h3><${Chip} tone=${tones[s.word]}>${m.head}<//></div>
    ${s.alarms.map((a) => html`<p class="notice alarm"><b>Alarm</b> ${a.text}</p>`)}
    <p class="soft">${plural(s.lots, "lot")}, ${plural(s.parts, "part")}; ${count(s.flagged)} flagged at the threshold ${s.threshold}${s.target ? html`, asked <code>${s.target}</code>` : ""}.${s.untested ? html` <b>${s.untested}</b>.` : ""}</p>
    ${bounds.length > 0 && html`<div class="scroll"><table class="dense"><thead><tr><th>of all production</th><th class="n">estimate</th><th class="n">at least</th><th class="n">at most</th><th class="n">judged parts</th></tr></thead><tbody>${bounds.map(([name, b]) => html`<tr><th>${name}</th><td class="n">${share(b.value)}</td><td class="n">${share(b.least)}</td><td class="n">${share(b.most)}</td><td class="n">${count(b.parts)}</td></tr>`)}</tbody></table></div>`}
    ${m.strata.map((row) => html`<div class="stratum" key=${row.name}><h4>${row.name} <small>${row.lots}, ${row.state}</small></h4>
      <div class="lot-chart" dangerouslySetInnerHTML=${{ __html: row.chart }}></div><p class="lot-axis"><span>lot ${row.first}</span><span>${row.range}</span><span>lot ${row.last}</span></p></div>`)}
    ${m.strata.length ? html`<p class="soft">${m.reading}</p>` : html`<p class="soft">No lot yet: <code>tao-skills monitor feed</code>.</p>`}</article>`;
}

function Certificate({ c, page }) {
  if (c.problem) return html`<article class="holds alarm" data-certificate=${c.name}><h3>${c.name}</h3><p class="bad">${c.problem}</p></article>`;
  return html`<article class="holds ${c.shown ? "met" : "near"}" data-certificate=${c.name}><div class="head tight"><h3>${page ? html`<a href=${to("/certificate", { in: c.name })}>${c.name}</a>` : c.name}</h3><${Chip} tone=${c.shown ? "met" : "near"}>${c.word}<//></div>
    <p>${c.sentence}</p><p class="soft">${c.text}. Threshold ${c.threshold}, on the ${c.set}; each bound is one-sided, 95 %.</p>
    <div class="scroll"><table class="dense"><thead><tr><th>rate</th><th class="n">measured</th><th class="n">bound</th></tr></thead><tbody>
      <tr><th>FAR</th><td class="n">${c.far}</td><td class="n">at most ${c.far_most}</td></tr><tr><th>recall</th><td class="n">${c.recall}</td><td class="n">at least ${c.recall_least}</td></tr></tbody></table></div>
    ${c.needs.length > 0 && html`<p class="soft">What would show it: further parts, with so many further errors among them.</p><div class="scroll"><table class="dense"><thead><tr><th>errors</th><th class="n">good parts</th><th class="n">defects</th></tr></thead><tbody>${c.needs.map(([k, good, bad]) => html`<tr><th>${k}</th><td class="n">${good}</td><td class="n">${bad}</td></tr>`)}</tbody></table></div>`}
    ${c.cautions.map((text) => html`<p class="notice">${text}</p>`)}
    ${page && html`<p class="soft">Certified by ${c.by}, ${ago(c.at)}; digest <code class="digest">${c.digest}</code></p>`}</article>`;
}

export const CertificatePage = ({ query }) => html`<div class="report"><div class="crumbs"><a href=${to("/holds")}>← Will it hold?</a><span class="soft">the page that an auditor gets</span></div>
  <iframe title="Certificate ${query.in}" src=${url("/holds/certificate", { in: query.in })} sandbox="allow-scripts allow-popups"></iframe></div>`;
