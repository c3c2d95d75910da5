// A plan, its gates and digests; a person approves it with their name, and it starts.
import { html, useState, useEffect, useContext, useAsk, App, Problem, Waiting, Chip, count, go, plural, tell, to } from "./ui.js";
import { post } from "./api.js";

export function Plan({ query }) {
  const { home, reader, setReader, labels } = useContext(App);
  const like = query.like || home.runs.find((r) => !r.problem)?.name;
  const earlier = home.runs.find((r) => r.name === like);
  const [wish, set] = useState({ kpi_target: earlier?.kpi_target || "FAR < 0.5% at recall=99%", max_iterations: earlier?.max_iterations || 3, settings: "" });
  const [{ plan, error, busy }, show] = useState({});
  const [sure, setSure] = useState(false);
  const [words, setWords] = useState(new Set());
  const { data: looking } = useAsk("/plan/looking", {}, { every: 600, when: !!busy && !plan });
  const turn = (name) => setWords((w) => { const n = new Set(w); n.has(name) ? n.delete(name) : n.add(name); return n; });
  const body = () => ({ like, kpi_target: wish.kpi_target, max_iterations: +wish.max_iterations || null, settings: wish.settings.split("\n").map((s) => s.trim()).filter(Boolean) });
  const ask = async () => { show({ busy: true }); setSure(false); setWords(new Set()); try { show({ plan: await (await post("/plan", body())).json() }); } catch (e) { show({ error: e }); } };
  useEffect(() => { ask(); }, [like, labels.data?.standing.length]);
  const approve = async () => { show({ plan, busy: true }); try { const { run } = await (await post("/approve", { ...body(), digest: plan.digest, name: reader, words: [...words] })).json(); tell("approved and started"); home.again(); go(`/run/${run}`); } catch (e) { show({ plan, error: e }); } };
  const bad = plan?.checks.filter((c) => c.status === "fail") || [];
  const warn = plan?.checks.filter((c) => c.status === "warn") || [], fine = plan?.checks.filter((c) => c.status === "ok") || [];
  const passed = `${plural(fine.length, "check")} passed${plan && fine.length < plan.checks.length ? `, ${count(plan.checks.length - fine.length)} skipped` : ""}`;
  const counts = labels.data?.counts || {};
  const field = (name, title, more = {}) => html`<label class="field"><span>${title}</span><input value=${wish[name]} ...${more} onInput=${(e) => set({ ...wish, [name]: e.target.value })} onChange=${ask} /></label>`;
  return html`<main><div class="head"><h1>Plan a run</h1><p class="soft">${earlier ? html`As <a href=${to(`/run/${like}`)}>${like}</a> was, with what you change here.` : "A fresh run in this workspace."}</p></div>
    <div class="plan"><form class="wish" onSubmit=${(e) => { e.preventDefault(); ask(); }}>${field("kpi_target", "Target", { class: "mono" })}${field("max_iterations", "Iterations at most", { type: "number", min: 1, max: 1000 })}
        <label class="field"><span>Settings, one a line</span><textarea rows="3" class="mono" placeholder="num_epochs=8" value=${wish.settings} onInput=${(e) => set({ ...wish, settings: e.target.value })} onChange=${ask}></textarea></label>
        <p class="soft">${(counts.relabelled || 0) + (counts.dropped || 0) ? html`<b>${count(counts.relabelled || 0)} relabelled</b> and <b>${count(counts.dropped || 0)} dropped</b> by <a href=${to("/labels", { tab: "said" })}>what was said</a>.` : html`No corrections yet: <a href=${to("/labels", { run: like })}>check labels</a> first, it is the cheapest gain.`}</p>
        <button class="tool" type="submit">Plan again</button></form>
      <section class="gates">${error && html`<${Problem} error=${error} again=${ask} />`}${busy && html`<${Waiting} what=${plan ? "Starting" : looking?.total ? `Looking at pictures: ${count(looking.done)} of ${count(looking.total)}` : "Checking every row and picture"} />`}
        ${plan && html`<div class="gate-head"><${Chip} tone=${bad.length ? "stopped" : warn.length ? "near" : "met"}>${bad.length ? `${bad.length} to mend` : warn.length ? `${warn.length} to know of` : passed}<//><span>about ${plan.estimate_minutes < 90 ? `${plan.estimate_minutes.toFixed(1)} min` : `${(plan.estimate_minutes / 60).toFixed(1)} h`} on ${plan.config.platform}</span></div>
          <ul class="checks">${[...bad, ...warn, ...plan.checks.filter((c) => !["fail", "warn"].includes(c.status))].map((c) => html`<li class=${c.status}><em>${c.status}</em><b>${c.name}</b><span>${c.text}</span></li>`)}</ul>
          <details><summary>Data set</summary><div class="scroll"><table class="dense"><tbody>${plan.splits.map((s) => html`<tr><th>${s.name}</th><td class="n">${count(s.rows)}</td><td>${Object.entries(s.labels).slice(0, 12).map(([l, n]) => html`<span class="tag">${l} <b>${count(n)}</b></span>`)}</td></tr>`)}</tbody></table></div></details>
          <details><summary>As text</summary><pre class="tail" tabindex="0">${plan.lines.join("\n")}</pre></details>`}</section>
      ${plan && !bad.length && html`<section class="approve"><h2>Approve</h2><p>The run does what this plan says and nothing else. Its digest:</p><code class="digest">${plan.digest}</code>
        <label class="field"><span>Your name; it is recorded with the approval</span><input value=${reader} autocomplete="name" onInput=${(e) => setReader(e.target.value)} /></label>
        <label class="tick"><input type="checkbox" checked=${sure} onChange=${(e) => setSure(e.target.checked)} /> I have read the plan${warn.length ? " and what it warns of" : ""}.</label>
        ${plan.words.map((w) => html`<label class="tick notice"><input type="checkbox" checked=${words.has(w.name)} onChange=${() => turn(w.name)} /> ${w.question}</label>`)}
        <button class="tool strong" disabled=${!sure || plan.words.some((w) => !words.has(w.name)) || !reader.trim() || busy || !!home.writable} onClick=${approve}>Approve and start</button>${home.writable && html`<p class="bad">${home.writable}</p>`}</section>`}</div></main>`;
}
