"use strict";
// A handful of boards inside a chat host, and a verdict by one key, which goes the way of every tool call: through the host.
(() => {
  const PILE = { missed: "missed defects", false_calls: "false calls", near: "boards near the threshold" };
  const own = (name, text, more) => Object.assign(document.createElement(name), text === undefined ? {} : { textContent: text }, more);
  const place = document.getElementById("place");
  let shown = null, pictures = {}, at = 0, who = "";
  const heard = new Map(), given = [], LOST = "not saved";
  let turn = Promise.resolve();

  const told = (text) => { const line = document.getElementById("said"); if (line) line.textContent = text; };
  const quoted = (text) => /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  const typed = (word, label) => ["tao-skills", "labels", word.undo ? "undo" : word.drop ? "drop" : "set", shown.workspace, word.sample,
    ...(word.undo || word.drop ? [] : [word.label || label]), "--set", "kpi", ...(word.undo ? [] : ["--reason", word.reason]), "--who", who].map(quoted).join(" ");
  const board = () => shown.boards[at];

  // Only what a person says of a board leaves here; nothing of a plan or an approval.
  const give = async (words, text) => {
    who = document.getElementById("who").value.trim();
    if (!who) { told("Write your name first: a verdict has its reader."); document.getElementById("who").focus(); return; }
    // What was said last on this page is taken back, and never what somebody else said of the board that shows.
    if (words.undo && !given.length) { told("Nothing was said here that could be taken back."); return; }
    if (words.undo) at = given.pop();
    const place = at, word = { sample: board().sample, set: "kpi", ...words }, label = board().label;
    if (!words.undo) given.push(place);
    heard.set(word.sample, "…");
    if (!words.undo && at < shown.boards.length - 1) at += 1;
    draw();
    const call = { name: "set_labels", arguments: { workspace: shown.workspace, who, words: [word] } };
    // One after the other: what takes a word back waits until that word is written, and is not sent where it was not.
    const asked = turn.then(() => (words.undo && heard.get(word.sample) === LOST ? null : request("tools/call", call)));
    turn = asked.catch(() => {});
    try {
      const answer = await asked;
      if (answer === null) return;
      if (answer.isError) throw new Error(((answer.content || [])[0] || {}).text || "refused");
      heard.set(word.sample, text);
      draw();
      told(words.undo ? `taken back: ${word.sample}` : `${word.sample}: ${text}`);
    } catch (error) {
      if (words.undo) given.push(place);
      else if (given.includes(place)) given.splice(given.lastIndexOf(place), 1);
      heard.set(word.sample, LOST);
      draw();
      told(`Not saved (${error.message}). In a terminal: ${typed(word, label)}`);
    }
  };
  const acts = {
    k: ["Label is right", () => give({ reason: "edge_case", label: board().label, note: "label is right" }, "label is right")],
    p: ["It is PASS", () => give({ reason: "mislabeled", label: "PASS" }, "it is PASS")],
    m: ["It is …", () => { const name = document.getElementById("label").value; if (name) give({ reason: "mislabeled", label: name }, `it is ${name}`); else document.getElementById("label").focus(); }],
    q: ["Bad picture", () => give({ reason: "data_quality" }, "a bad picture")],
    x: ["Drop it", () => give({ reason: "data_quality", drop: true }, "drop it")],
    u: ["Take back", () => give({ undo: true }, "taken back")],
  };
  const go = (to) => { at = Math.max(0, Math.min(shown.boards.length - 1, to)); draw(); };

  function draw() {
    const focus = document.activeElement && document.activeElement.id;
    const keep = { who: document.getElementById("who") ? document.getElementById("who").value : who };
    const one = board(), strip = own("ul", undefined, { id: "strip" });
    shown.boards.forEach((b, i) => {
      const item = own("li"), button = own("button", `${b.label} ${b.score.toPrecision(3)}${heard.get(b.sample) || b.said ? ` · ${heard.get(b.sample) || b.said}` : ""}`, { title: b.sample, onclick: () => go(i) });
      button.setAttribute("aria-current", String(i === at));
      item.append(button);
      strip.append(item);
    });
    const pair = own("div", undefined, { className: "pair" });
    ["Golden", "Capture"].forEach((name, side) => {
      const figure = own("figure"), found = (pictures[one.sample] || [])[side];
      if (found && found.startsWith("data:image/webp;base64,")) figure.append(own("img", undefined, { src: found, alt: `${name} of ${one.sample}` }));
      figure.append(own("figcaption", found ? name : `${name}: no picture came with it`));
      pair.append(figure);
    });
    const line = own("p", `${one.sample} · labelled ${one.label} · score ${one.score.toPrecision(4)}, threshold ${shown.threshold.toPrecision(4)}: ${one.model}`);
    const verdicts = own("div", undefined, { className: "verdicts" }), name = own("input", undefined, { id: "who", value: keep.who, placeholder: "Your name", size: 12 });
    name.setAttribute("aria-label", "Your name, for verdicts");
    const label = own("select", undefined, { id: "label" });
    label.setAttribute("aria-label", "The right label");
    label.append(own("option", "another label", { value: "" }), ...shown.labels.filter((l) => l !== one.label).map((l) => own("option", l, { value: l })));
    verdicts.append(name, label);
    for (const [key, [text, act]] of Object.entries(acts)) {
      const button = own("button", text, { onclick: act });
      button.prepend(own("kbd", key.toUpperCase()));
      verdicts.append(button);
    }
    place.replaceChildren(own("h1", `${shown.boards.length} of ${shown.of} ${PILE[shown.pile]}, ${shown.iteration}`), strip, pair, line, verdicts,
      own("p", undefined, { id: "said", className: "small" }), own("p", `← → before, next. All of them: ${shown.studio}`, { className: "small" }));
    document.getElementById("said").setAttribute("role", "status");
    if (focus && document.getElementById(focus)) document.getElementById(focus).focus();
  }

  addEventListener("keydown", (e) => {
    if (!shown || !shown.boards.length || e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, select")) return;
    if (e.key === "ArrowRight") go(at + 1);
    else if (e.key === "ArrowLeft") go(at - 1);
    else if (acts[e.key.toLowerCase()]) acts[e.key.toLowerCase()][1]();
    else return;
    e.preventDefault();
  });

  const show = (result) => {
    const found = result && result.structuredContent;
    if (!found || !Array.isArray(found.boards)) return say("The tool gave no boards.");
    pictures = (result._meta || {})["tao-skill-bank/pictures"] || {};
    shown = { ...found, labels: found.labels || [] };
    at = 0;
    heard.clear();
    given.length = 0;
    if (found.boards.length) draw(); else say(`No board is among the ${PILE[found.pile]}.`);
  };
  const { request, say } = host("tao-skill-bank-boards", "Boards", "there are no boards of it", show);
})();
