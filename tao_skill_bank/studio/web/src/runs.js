// The list of runs, and one run whole.
import { html, useState, useContext, useAsk, App, Empty, Problem, Waiting, Chip, Command, Rate, Spark, ago, count, duration, go, percent, phaseName, plural, put, range, setTitle, tell, to, tone } from "./ui.js";
import { post, url } from "./api.js";

const word = (run) => {
  if (run.working) return "at work";
  if (run.status === "complete") return run.verdict?.head || "complete";
  return run.status;
};

export function Runs() {
  const { home } = useContext(App);
  const [picked, pick] = useState([]);
  const { runs } = home;
  if (!runs.length)
    return html`<main><h1>Runs</h1><${Empty} title="No runs here yet">
      <p>A run trains, measures and mines until its target is met. <a href=${to("/plan")}>Plan one</a>, or at a terminal:</p>
      <${Command}>tao-skills deft plan --workspace ${home.workspace} --kpi-target "FAR < 0.5% at recall=99%"<//>
<//><${Annotations} home=${home} /></main>`;
  const turn = (name) => pick((p) => (p.includes(name) ? p.filter((x) => x !== name) : [...p, name].slice(-2)));
  return html`<main>
    <div class="head"><h1>Runs</h1><p class="soft">${plural(runs.length, "run")} in <code>${home.workspace}</code></p>
      <div class="acts"><button class="tool" disabled=${picked.length !== 2} title="Tick two runs" onClick=${() => go("/compare", { runs: picked.join(",") })}>Compare ${picked.length === 2 ? "these two" : `(${picked.length} of 2)`}</button>
      <a class="tool strong" href=${to("/plan", { like: runs[0].name })}>Plan the next run</a></div></div>
    <ul class="runs">${runs.map((run) => html`<li class="run-row ${tone(run)}" key=${run.name}>
      <label class="tick"><input type="checkbox" checked=${picked.includes(run.name)} onChange=${() => turn(run.name)} aria-label="Compare ${run.name}" /></label>
      <div class="run-name"><a href=${to(`/run/${run.name}`)}>${run.name}</a><small title=${run.started_at}>${ago(run.started_at)} · ${run.platform}</small></div>
      ${run.problem ? html`<div class="run-said bad">${run.problem}</div>` : html`
      <div class="run-said"><${Chip} tone=${tone(run)}>${word(run)}<//><p>${run.working ? html`${phaseName(run.iteration)}, ${run.stage}${run.live ? html` · ${run.live}` : ""}` : run.verdict?.text}</p></div>
      <div class="run-figure">${run.working && run.losses.length > 1 ? html`<${Spark} values=${run.losses} label="training loss" /><small>loss ${run.losses.at(-1).toPrecision(3)}${run.remaining_sec ? ` · at most ${duration(run.remaining_sec)} left` : ""}</small>`
        : html`<b>${percent(run.best_value)}</b><small>${run.best_iteration ? `best ${run.measure}, ${phaseName(run.best_iteration).toLowerCase()}` : "nothing measured"}</small>`}</div>
      <div class="run-trend"><${Spark} values=${run.phases.map((p) => p.value).filter((v) => v !== null)} width=${84} label="${run.measure} by iteration" /><small>${run.approval ? `${run.approval}` : "not approved"}</small></div>`}
    </li>`)}</ul>
    <${Annotations} home=${home} /></main>`;
}

// What annotates now, what it cost so far and has still to do.
function Annotations({ home }) {
  const { data } = useAsk("/annotations", {}, { every: (d) => (d.annotations.some((a) => a.working) ? 2500 : 30000) });
  const list = data?.annotations || home.annotations.map((name) => ({ name, questions: true }));
  if (!list.length) return null;
  return html`<h2>Annotations</h2><ul class="runs">${list.map((a) => html`<li class="run-row annotation ${a.working ? "running" : a.status === "complete" ? "met" : "stopped"}" key=${a.name} data-annotation=${a.name}>
    <div class="run-name">${a.questions ? html`<a href=${to("/annotate", { in: a.name })}>${a.name === "." ? home.name : a.name}</a>` : html`<span>${a.name === "." ? home.name : a.name}</span>`}<small>${a.questions ? "questions to review" : "no questions yet"}</small></div>
    ${a.problem ? html`<div class="run-said bad">${a.problem}</div>` : html`<div class="run-said"><${Chip} tone=${a.working ? "running" : a.status === "complete" ? "met" : "stopped"}>${a.working ? "at work" : a.status || "read"}<//><p>${a.videos ? `${count(a.done)} of ${plural(a.videos, "video")}` : ""}${a.in_flight ? ` · ${count(a.in_flight)} calls on their way` : ""}${a.left_sec ? ` · about ${duration(a.left_sec)} left` : ""}</p></div>
    <div class="run-figure">${a.calls !== undefined && html`<b>${a.cost.toFixed(2)} USD</b><small>${plural(a.calls, "call")}${a.unpriced ? `, ${count(a.unpriced)} answers without a price` : ""}</small>`}</div>`}</li>`)}</ul>`;
}

const plus = (n) => (n ? `+${count(n)}` : "");
// What a phase may tell beside its measure; a column that no phase fills is left out.
const FIGURES = [["threshold", "threshold", (t) => t.toPrecision(4)], ["rows", "rows", count], ["mined", "mined", plus], ["synthetic", "made", plus], ["annotated", "annotated", plus]];

export function Run({ name }) {
  const { home } = useContext(App);
  const { data: run, error, again } = useAsk(`/runs/${encodeURIComponent(name)}`, {}, { every: (r) => (r.working ? 2000 : 0) });
  if (error && !run) return html`<main><${Problem} error=${error} again=${again} /></main>`;
  if (!run) return html`<main><${Waiting} what="Reading the run" /></main>`;
  const stop = async () => { try { await post(`/runs/${encodeURIComponent(name)}/stop`); tell("asked to stop; it ends at a safe place"); again(); } catch (e) { tell(e.line, "bad"); } };
  const resume = async () => { try { const { approval } = await (await post(`/runs/${encodeURIComponent(name)}/resume`)).json(); tell(`taken up, as approved: ${approval}`); again(); } catch (e) { tell(e.line, "bad"); } };
  const v = run.verdict;
  const said = FIGURES.filter(([key]) => run.phases.some((p) => p[key] !== null));
  const best = run.phases.find((p) => p.phase === run.best_iteration);
  return html`<main>
    <div class="head"><h1 class="mono">${run.name}</h1><p class="soft">${run.kpi_target} · ${run.platform} · ${ago(run.started_at)} · ${run.approval || "not approved"}${run.approved_by ? ` by ${run.approved_by}` : ""}</p>
      <div class="acts">
        ${run.working && html`<button class="tool" onClick=${stop}>Stop</button>`}
        ${["interrupted", "stopped", "failed"].includes(run.status) && !home.writable && html`<button class="tool" onClick=${resume} title=${run.approval ? `Approved: ${run.approval}` : "not approved"}>Take it up${run.approved_by ? html` <small>approved by ${run.approved_by}</small>` : ""}</button>`}
        <a class="tool" href=${to(`/report/${run.name}`)}>Report</a>
        ${run.samples && html`<a class="tool" href=${to("/labels", { run: run.name })}>Check labels</a>`}
        ${run.samples && run.best_iteration && html`<a class="tool" href=${to("/signoff", { run: run.name })}>Sign-off</a>`}
        ${run.samples && run.best_iteration && html`<a class="tool" href=${to("/holds", { run: run.name })}>Will it hold?</a>`}
        <a class="tool strong" href=${to("/plan", { like: run.name })}>Plan the next run</a></div></div>
    <section class="verdict ${tone(run)}">
      <div><p class="kicker">${run.working ? "At work" : "Verdict"}</p><h2>${run.working ? `${phaseName(run.iteration)}: ${run.stage}` : v.head}</h2>
        <p>${run.working ? run.live || "The stage has said nothing yet." : v.text}</p>
        ${run.working && html`<p class="soft">${duration(run.elapsed_sec)} so far${run.remaining_sec ? `, at most ${duration(run.remaining_sec)} left by what its stages took` : ""}.</p><${Spark} values=${run.losses} width=${320} height=${54} label="training loss so far" />`}
        ${!run.working && html`<p class="soft">${run.next_step}</p>`}</div>
      <dl class="claims">${v.claims.map((c) => html`<div class=${c.outcome === "shown" ? "good" : c.outcome === "unknown" ? "" : "open"}><dt>${c.name} on the ${v.set}</dt><dd><b>${percent(c.value_pct)}</b><small>${range(c.measured)} · asked ${c.asked}</small><em>${c.word}</em></dd></div>`)}</dl>
    </section>
    ${run.looked.length > 0 && html`<p class="notice">The acceptance set is spent: ${run.looked.map((l) => `looked at by ${l.who} on ${l.when.slice(0, 10)}`).join("; ")}.</p>`}
    <div class="two">
      <section><h2>By iteration</h2><div class="scroll"><table><thead><tr><th>phase</th><th class="n">${run.measure}</th>${said.map(([, title]) => html`<th class="n">${title}</th>`)}<th></th></tr></thead><tbody>
        ${run.phases.map((p) => html`<tr class=${p === best ? "best" : ""}><th>${phaseName(p.phase)}</th><td class="n"><${Rate} value=${p.value} interval=${p.far} /></td>${said.map(([key, , show]) => html`<td class="n">${p[key] === null ? "" : show(p[key])}</td>`)}
          <td>${run.samples && p.value !== null && html`<a href=${to("/samples", { run: run.name, set: "kpi", iteration: p.phase })}>samples</a>`}</td></tr>`)}</tbody></table></div></section>
      ${run.sets.map((s) => html`<section key=${s.set}><h2>${setTitle[s.set]} by defect type <small>${phaseName(s.iteration)} at ${s.threshold.toPrecision(4)}</small></h2>
        <div class="scroll"><table class="dense"><thead><tr><th>label</th><th class="n">boards</th><th class="n">wrong</th><th class="n">flagged</th></tr></thead><tbody>${s.types.map((t) => html`<tr><th>${t.label}</th><td class="n"><a href=${to("/samples", { run: run.name, set: s.set, iteration: s.iteration, label: t.label })}>${count(t.count)}</a></td>
          <td class="n">${t.wrong ? html`<a class="wrong" href=${to("/samples", { run: run.name, set: s.set, iteration: s.iteration, label: t.label, pile: t.good ? "false" : "missed" })}>${count(t.wrong)} ${t.good ? "false calls" : "missed"}</a>` : html`<span class="soft">none</span>`}</td><td class="n"><${Rate} value=${t.share.value_pct} interval=${t.share} /></td></tr>`)}</tbody></table></div></section>`)}
    </div>
    ${run.working && run.tail && html`<section><h2>What it says</h2><pre class="tail" tabindex="0">${run.tail}</pre></section>`}
    <section><h2>Log</h2><div class="scroll"><table class="dense"><tbody>${[...run.log].reverse().map((l) => html`<tr class=${l.status === "ok" ? "" : "halt"}><td class="soft n">${l.seq}</td><td class="soft">${l.ts.slice(11, 19)}</td><th>${l.iter} ${l.stage}</th><td class="said">${l.summary}</td><td class="n soft">${duration(l.duration_sec)}</td></tr>`)}</tbody></table></div></section>
  </main>`;
}

export const Report = ({ name }) => html`<div class="report"><div class="crumbs"><a href=${to(`/run/${name}`)}>← ${name}</a><span class="soft">the report as it is now; it can be mailed as one file</span></div>
  <iframe title="Report of ${name}" src=${url(`/runs/${encodeURIComponent(name)}/report`)} sandbox="allow-scripts allow-popups"></iframe></div>`;

export function SignOff({ query }) {
  const { data: run, error } = useAsk(`/runs/${encodeURIComponent(query.run)}`, {});
  const { reader } = useContext(App);
  if (error) return html`<main><${Problem} error=${error} /></main>`;
  if (!run) return html`<main><${Waiting} /></main>`;
  const v = run.verdict;
  const row = (name, value) => html`<tr><th>${name}</th><td>${value}</td></tr>`;
  return html`<main class="sheet"><div class="head no-print"><a href=${to(`/run/${run.name}`)}>← ${run.name}</a><div class="acts"><button class="tool strong" onClick=${() => print()}>Print</button></div></div>
    <h1>Sign-off of a model</h1><p class="lede">${v.line}</p>
    <table><tbody>${row("Run", html`<code>${run.folder}</code>`)}${row("Asked", v.asked)}${row("Model", v.model ? phaseName(v.model) : "–")}${row("Threshold", v.threshold ?? "–")}${row("Judged on", v.set || "nothing")}
      ${v.claims.map((c) => row(c.name, `${percent(c.value_pct)} (${range(c.measured)}), asked ${c.asked}: ${c.word}`))}${row("Trained by", [v.trained.by, v.trained.network, v.trained.image].filter(Boolean).join(", "))}${row("Checkpoint SHA-256", html`<code>${v.trained.checkpoint_sha256 || "not recorded"}</code>`)}${row("Plan approved", `${run.approval || "no"}${run.approved_by ? `, ${run.approved_by}` : ""}`)}
      ${row("Acceptance set", run.looked.length ? `spent: ${run.looked.map((l) => `looked at by ${l.who} on ${l.when.slice(0, 10)}`).join("; ")}` : "no look at it is recorded")}</tbody></table>
    <div class="signs"><div><span>Name</span><b>${reader}</b></div><div><span>Date</span></div><div><span>Signature</span></div></div></main>`;
}

export { put };
