// Two runs side by side: figures, and the boards that one has right and the other wrong.
import { html, useAsk, Problem, Waiting, Empty, Rate, Thumb, count, percent, phaseName, plural, score, to } from "./ui.js";

export function Compare({ query }) {
  const names = (query.runs || "").split(",").filter(Boolean);
  const { data, error } = useAsk("/compare", { runs: query.runs }, { when: names.length === 2 });
  if (names.length !== 2) return html`<main><h1>Compare</h1><${Empty} title="Two runs make a comparison"><p>Tick two in the <a href=${to("/")}>list of runs</a>.</p><//></main>`;
  if (error) return html`<main><h1>Compare</h1><${Problem} error=${error} /></main>`;
  if (!data) return html`<main><${Waiting} what="Comparing" /></main>`;
  const [a, b] = data.runs;
  const row = (name, f) => html`<tr><th>${name}</th><td>${f(a)}</td><td>${f(b)}</td></tr>`;
  return html`<main><div class="head"><h1>Compare</h1></div>
    <div class="scroll"><table><thead><tr><th></th>${data.runs.map((r) => html`<th><a href=${to(`/run/${r.name}`)}>${r.name}</a></th>`)}</tr></thead><tbody>
      ${row("verdict", (r) => r.verdict.head)}${row(`best ${data.measure}`, (r) => html`<${Rate} value=${r.best_goal_pct} interval=${r.best_goal} />`)}${row("in", (r) => (r.best_iteration ? phaseName(r.best_iteration) : "–"))}
      ${["FAR", "recall"].includes(data.measure) ? "" : row(`acceptance ${data.measure}`, (r) => html`<${Rate} value=${r.acceptance_goal?.value_pct} interval=${r.acceptance_goal} />`)}${row("acceptance FAR", (r) => html`<${Rate} value=${r.acceptance_far?.value_pct} interval=${r.acceptance_far} />`)}${row("acceptance recall", (r) => html`<${Rate} value=${r.acceptance_recall?.value_pct} interval=${r.acceptance_recall} />`)}${row("rows added", (r) => count(r.rows_added))}
      ${data.differences.map((d) => html`<tr class="soft"><th><code>${d.key}</code></th>${d.values.map((v) => html`<td><code>${v}</code></td>`)}</tr>`)}</tbody></table></div>
    ${data.cautions.map((c) => html`<p class="notice">${c}</p>`)}
    ${data.boards_problem ? html`<p class="notice">${data.boards_problem}</p>` : html`
    <${Boards} title="Fixed" said="wrong in ${a.name}, right in ${b.name}" list=${data.fixed} total=${data.fixed_count} run=${b.name} />
    <${Boards} title="Broken" said="right in ${a.name}, wrong in ${b.name}" list=${data.broken} total=${data.broken_count} run=${b.name} />`}
  </main>`;
}

const Boards = ({ title, said, list, total, run }) => html`<section><h2>${title} <small>${plural(total, "board")} of the KPI set, ${said}</small></h2>
  ${list.length ? html`<div class="strip">${list.map((r) => html`<a class="cell" href=${to("/board", { run, set: "kpi", row: r.row })}><${Thumb} query=${{ run, set: "kpi", row: r.row }} alt=${r.sample} /><span class="cap"><b>${r.label}</b><i>${score(r.score)}</i></span></a>`)}</div>` : html`<p class="soft">None.</p>`}</section>`;

export { percent };
