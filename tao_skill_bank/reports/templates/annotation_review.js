"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const cards = all(".card[data-digest]");
  const shelf = "annotation-review-" + document.querySelector(".page").dataset.run;
  const verdicts = JSON.parse(document.getElementById("earlier").textContent);
  try {
    const kept = JSON.parse(localStorage.getItem(shelf) || "{}");
    if (kept && typeof kept === "object") Object.assign(verdicts, kept);
  } catch (error) { /* A browser that keeps nothing for files: the export still works. */ }
  const words = { accept: "accepted", reject: "rejected" };
  const of = (card) => verdicts[card.dataset.digest] || {};

  const show = (card) => {
    const found = of(card);
    card.dataset.verdict = words[found.verdict] ? found.verdict : "";
    card.querySelector(".said").textContent = words[found.verdict] || "";
    card.querySelector(".noted").textContent = found.note ? "Note: " + found.note : "";
    for (const button of all("button", card)) {
      button.setAttribute("aria-pressed", String(button.dataset.act === found.verdict));
    }
    const note = card.querySelector("input");
    if (document.activeElement !== note) note.value = found.note || "";
  };

  const headline = document.getElementById("headline");
  const count = () => {
    const number = (verdict) => cards.filter((card) => card.dataset.verdict === verdict).length;
    const [accepted, rejected, open] = ["accept", "reject", ""].map(number);
    for (const [id, value] of Object.entries({ accepted, rejected, open })) document.getElementById(id).textContent = value;
    for (const [name, value] of Object.entries({ accept: accepted, reject: rejected })) {
      document.querySelector(".meter ." + name).style.width = cards.length ? (100 * value) / cards.length + "%" : "0";
    }
    headline.textContent = cards.length === 0 ? "Nothing to judge"
      : open ? `${open} question${open === 1 ? "" : "s"} to judge` : "All are judged";
    headline.closest(".verdict").classList.toggle("judged", cards.length > 0 && open === 0);
    for (const left of all(".left")) {
      const still = cards.filter((card) => !card.dataset.verdict && card.closest("section").id === left.dataset.for).length;
      left.textContent = still || "✓";
      left.parentElement.classList.toggle("done", still === 0);
    }
  };

  let shown = "all";
  const filter = () => {
    for (const card of all(".card")) {
      const state = card.classList.contains("refused") ? "refused" : card.dataset.verdict || "open";
      card.hidden = shown !== "all" && state !== shown && !card.contains(document.activeElement);
    }
  };
  for (const button of all("[data-show]")) {
    button.addEventListener("click", () => {
      shown = button.dataset.show;
      for (const other of all("[data-show]")) other.setAttribute("aria-pressed", String(other === button));
      filter();
    });
  }

  const keep = (card, change) => {
    verdicts[card.dataset.digest] = { ...of(card), ...change };
    try { localStorage.setItem(shelf, JSON.stringify(verdicts)); } catch (error) { /* as above */ }
    show(card);
    count();
  };
  // The same verdict a second time takes it back.
  const judge = (card, verdict) => keep(card, { verdict: of(card).verdict === verdict ? "" : verdict });

  for (const card of cards) {
    show(card);
    const note = card.querySelector("input");
    for (const button of all("button", card)) button.addEventListener("click", () => judge(card, button.dataset.act));
    note.addEventListener("input", () => keep(card, { note: note.value }));
    note.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === "Escape") card.focus(); });
    card.addEventListener("keydown", (event) => {
      if (event.target !== card || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "a") judge(card, "accept");
      if (event.key === "r") judge(card, "reject");
      if (event.key === "n") { event.preventDefault(); note.focus(); }
      const step = { j: 1, k: -1 }[event.key];
      if (step) {
        const seen = cards.filter((other) => !other.hidden);
        const next = seen[seen.indexOf(card) + step];
        if (next) next.focus();
      }
    });
  }
  addEventListener("keydown", (event) => {
    if (event.key !== "j" || event.target !== document.body || event.ctrlKey || event.metaKey || event.altKey) return;
    const first = cards.find((card) => !card.hidden && !card.dataset.verdict) || cards.find((card) => !card.hidden);
    if (first) first.focus();
  });
  count();

  document.getElementById("export").addEventListener("click", () => {
    const lines = cards
      .filter((card) => card.dataset.verdict)
      .map((card) => JSON.stringify({
        video_id: card.dataset.video,
        task: card.dataset.task,
        digest: card.dataset.digest,
        verdict: card.dataset.verdict,
        note: of(card).note || "",
      }));
    // Verdicts on questions that this page does not show go on: an export replaces the file.
    const here = new Set(cards.map((card) => card.dataset.digest));
    for (const [digest, found] of Object.entries(verdicts)) {
      if (!here.has(digest) && words[found.verdict]) {
        lines.push(JSON.stringify({ video_id: found.video_id || "", task: found.task || "", digest, verdict: found.verdict, note: found.note || "" }));
      }
    }
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.map((line) => line + "\n").join("")], { type: "application/jsonl" }));
    link.download = "verdicts.jsonl";
    link.click();
    URL.revokeObjectURL(link.href);
  });
})();
