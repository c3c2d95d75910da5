// Questions of an annotation, beside their video: accepted, refused or edited with one key each.
import { html, useState, useEffect, useRef, useContext, useAsk, App, Empty, Problem, Waiting, Key, count, plural, put, tell, to, useInTurn, useKeys } from "./ui.js";
import { get, newest, post, say, settled, url } from "./api.js";

const clock = (s) => `${Math.floor(s / 60)}:${String(Math.floor(s % 60)).padStart(2, "0")}`;

export function Annotate({ query }) {
  const { home, reader } = useContext(App);
  const name = query.in || home.annotations[0];
  const { n: many, seed: turn } = query;
  const { data, error, again } = useAsk("/annotation", { in: name, n: many, seed: turn }, { when: !!name });
  const [said, setSaid] = useState({});
  const [at, move] = useState(0);
  const [editing, edit] = useState(null);
  const show = (i) => { edit(null); move(i); };
  const video = useRef();
  const box = useRef();
  useEffect(() => { if (data) setSaid(Object.fromEntries(data.cards.filter((c) => c.words.some((w) => w.who === reader)).map((c) => [c.digest, c.words.find((w) => w.who === reader)]))); }, [data, reader]);
  const cards = data?.cards || [], card = cards[Math.min(at, cards.length - 1)];
  const span = card?.span;
  const [mute, setMute] = useState(null); // the card whose video this browser cannot play
  const stills = mute === card?.digest;
  const play = () => { if (stills) { dispatchEvent(new Event("studio-stills")); return; } const v = video.current; if (!v) return; if (span) { v.currentTime = span[0]; v.dataset.until = span[1]; } v.play?.().catch(() => {}); };
  useEffect(() => { const v = video.current; if (v && span) v.currentTime = span[0]; }, [card?.digest]);
  const give = async (word) => {
    if (!card) return;
    if (home.writable) { tell(home.writable, "bad"); return; }
    const sent = { sample: card.sample, set: "annotation", who: reader, note: "", ...word };
    setSaid((s) => ({ ...s, [card.digest]: sent }));
    show(Math.min(cards.length - 1, at + 1));
    try { const answer = await say(`/annotation/say/${encodeURIComponent(name)}`, [sent]); if (answer) setSaid((s) => ({ ...s, [card.digest]: answer.words[0] })); } catch (e) { tell(e.line, "bad"); setSaid(({ [card.digest]: _, ...rest }) => rest); }
  };
  const undo = async () => {
    try {
      await settled();
      const fresh = await get("/annotation", { in: name, n: many, seed: turn });
      const mine = newest(fresh.cards.flatMap((c) => c.words.map((w) => ({ ...w, digest: c.digest }))), reader);
      if (!mine) { tell("nothing of yours to take back"); return; }
      await post(`/annotation/undo/${encodeURIComponent(name)}`, { what: mine.id, who: reader }); setSaid(({ [mine.digest]: _, ...rest }) => rest); show(cards.findIndex((c) => c.digest === mine.digest)); tell("taken back"); } catch (e) { tell(e.line, "bad"); }
  };
  const acts = {
    a: () => give({ reason: "edge_case", to: card.answer, note: "accepted" }), r: () => give({ reason: "data_quality", drop: true }), e: () => { edit(card.answer); requestAnimationFrame(() => box.current?.focus()); },
    u: undo, " ": play, ArrowRight: () => show(Math.min(cards.length - 1, at + 1)), n: () => show(Math.min(cards.length - 1, at + 1)), ArrowLeft: () => show(Math.max(0, at - 1)),
  };
  useKeys(useInTurn(acts));
  if (!name) return html`<main><h1>Annotate</h1><${Empty} title="No questions to review yet"><p>Questions and answers are made from videos by</p><code class="command">tao-skills annotate --help</code><p>Put the results folder into this workspace, or start the page on it.</p><//></main>`;
  if (error && !data) return html`<main><h1>Annotate</h1><${Problem} error=${error} again=${again} /></main>`;
  if (!data) return html`<main><${Waiting} what="Reading the questions" /></main>`;
  const done = Object.keys(said).filter((d) => cards.some((c) => c.digest === d)).length;
  const word = card && said[card.digest];
  const kind = (w) => (w.drop ? "refused" : w.reason === "mislabeled" ? "edited" : "accepted");
  return html`<main class="wide"><div class="head tight"><h1>Annotate</h1><div class="choices">${home.annotations.length > 1 && html`<label>Results <select value=${name} onChange=${(e) => put("/annotate", { in: e.target.value })}>${home.annotations.map((x) => html`<option>${x}</option>`)}</select></label>`}
      <label>Sample <input type="number" class="short" min="1" max=${data.total} value=${data.n} onChange=${(e) => put("/annotate", { ...query, in: name, n: e.target.value })} /> of ${count(data.total)}</label><label>Seed <input type="number" class="short" value=${data.seed} onChange=${(e) => put("/annotate", { ...query, in: name, seed: e.target.value })} /></label></div>
      <p class="soft">${plural(done, "verdict")} of ${cards.length}; ${data.measured ? "the sample that the error rate is measured on" : "drawn by task, the same for this seed"}</p></div>
    ${!card ? html`<${Empty} title="No questions"><p>Step 3 has made none that passed the checks.</p><//>` : html`
    <div class="annotate"><div class="film">${stills ? html`<${Stills} key=${card.digest} query=${{ in: name, digest: card.digest }} />` : html`<video key=${card.video_id} onError=${() => setMute(card.digest)} onLoadedMetadata=${(e) => e.target.videoWidth || setMute(card.digest)} ref=${video} controls preload="metadata" src=${url("/annotation/video", { in: name, digest: card.digest })} onTimeUpdate=${(e) => { const until = +e.target.dataset.until; if (until && e.target.currentTime >= until) { e.target.pause(); delete e.target.dataset.until; } }}></video>`}
      <p class="mono small">${card.video_id}</p>${span && html`<button class="tool" onClick=${play}><${Key}>space<//> Play ${clock(span[0])}–${clock(span[1])}</button>`}
      <ol class="dots" aria-label="Cards">${cards.map((c, i) => html`<li><button class=${said[c.digest] ? kind(said[c.digest]) : ""} aria-current=${i === at} aria-label="Card ${i + 1}${said[c.digest] ? `, ${kind(said[c.digest])}` : ""}" onClick=${() => show(i)}></button></li>`)}</ol></div>
    <article class="question" aria-live="polite"><p class="kicker">${card.task} · ${at + 1} of ${cards.length} ${word && html`<b class=${kind(word)}>${kind(word)}</b>`}</p><h2>${card.question}</h2>
      ${editing === null ? html`${card.choices?.length > 0 && html`<ul class="plain soft">${card.choices.map((c) => html`<li>${c}</li>`)}</ul>`}<p class="answer">${word?.to && kind(word) === "edited" ? word.to : card.answer}</p>` : html`<form onSubmit=${(e) => { e.preventDefault(); if (editing.trim() && editing.trim() !== card.answer) give({ reason: "mislabeled", to: editing.trim() }); else edit(null); }}><input ref=${box} class="edit" aria-label="Answer" value=${editing} onInput=${(e) => edit(e.target.value)} onKeyDown=${(e) => e.key === "Escape" && edit(null)} /><small class="soft"><${Key}>↵<//> keep · <${Key}>esc<//> leave it</small></form>`}
      ${card.reasoning && html`<details><summary>Reasoning</summary><p class="soft">${card.reasoning}</p></details>`}
      <div class="verdicts row"><button class="verdict-key" onClick=${acts.a}><${Key}>A<//><span>Accept</span></button><button class="verdict-key" onClick=${acts.e}><${Key}>E<//><span>Edit</span></button><button class="verdict-key drop" onClick=${acts.r}><${Key}>R<//><span>Refuse</span></button></div>
      <p class="hints"><span><${Key}>U<//> take back</span><span><${Key}>←<//> <${Key}>→<//> before, next</span><span><${Key}>space<//> play the span</span></p></article></div>`}</main>`;
}
// Pictures of the span, one after the other, where the browser does not know the video's encoding.
function Stills({ query }) {
  const { data, error } = useAsk("/annotation/stills", query);
  const [at, move] = useState(0);
  const [on, turn] = useState(true);
  const list = data?.stills || [];
  useEffect(() => { const again = () => { move(0); turn(true); }; addEventListener("studio-stills", again); return () => removeEventListener("studio-stills", again); }, []);
  useEffect(() => { if (!on || !list.length) return undefined; const t = setInterval(() => move((n) => { if (n + 1 >= list.length) { turn(false); return n; } return n + 1; }), 350); return () => clearInterval(t); }, [on, list.length]);
  if (error) return html`<${Problem} error=${error} />`;
  if (!list.length) return html`<${Waiting} what="Reading the video" />`;
  return html`<figure class="stills"><img src=${`data:image/jpeg;base64,${list[at].jpeg}`} alt="The video at ${list[at].at.toFixed(1)} s" data-still=${at} /><figcaption><input type="range" min="0" max=${list.length - 1} value=${at} aria-label="Picture of the span" onInput=${(e) => { turn(false); move(+e.target.value); }} /><small class="soft">${clock(list[at].at)} · this browser cannot play the video's encoding: pictures instead</small></figcaption></figure>`;
}
export { to };
