"use strict";
(() => {
  const cards = [...document.querySelectorAll(".card[data-digest]")];
  const shelf = "annotation-review-" + document.querySelector(".page").dataset.run;
  const verdicts = JSON.parse(document.getElementById("earlier").textContent);
  try {
    Object.assign(verdicts, JSON.parse(localStorage.getItem(shelf) || "{}"));
  } catch (error) { /* A browser that keeps nothing for files: the export still works. */ }

  const show = (card) => {
    const found = verdicts[card.dataset.digest] || {};
    card.dataset.verdict = found.verdict || "";
    for (const button of card.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.act === found.verdict));
    }
    const note = card.querySelector("input");
    if (document.activeElement !== note) note.value = found.note || "";
  };
  const count = () => {
    const of = (verdict) => cards.filter((card) => card.dataset.verdict === verdict).length;
    document.getElementById("accepted").textContent = of("accept");
    document.getElementById("rejected").textContent = of("reject");
    document.getElementById("open").textContent = of("");
  };
  const keep = (card, change) => {
    verdicts[card.dataset.digest] = { ...(verdicts[card.dataset.digest] || {}), ...change };
    try { localStorage.setItem(shelf, JSON.stringify(verdicts)); } catch (error) { /* as above */ }
    show(card);
    count();
  };
  for (const card of cards) {
    show(card);
    for (const button of card.querySelectorAll("button")) {
      button.addEventListener("click", () => keep(card, { verdict: button.dataset.act }));
    }
    card.querySelector("input").addEventListener("input", (event) => keep(card, { note: event.target.value }));
    card.addEventListener("keydown", (event) => {
      if (event.target !== card || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key === "a") keep(card, { verdict: "accept" });
      if (event.key === "r") keep(card, { verdict: "reject" });
      const step = { j: 1, k: -1 }[event.key];
      if (step) {
        const next = cards[cards.indexOf(card) + step];
        if (next) next.focus();
      }
    });
  }
  count();
  document.getElementById("export").addEventListener("click", () => {
    const lines = cards
      .map((card) => [card, verdicts[card.dataset.digest] || {}])
      .filter(([, found]) => found.verdict)
      .map(([card, found]) => JSON.stringify({
        video_id: card.dataset.video,
        task: card.dataset.task,
        digest: card.dataset.digest,
        verdict: found.verdict,
        note: found.note || "",
      }));
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines.map((line) => line + "\n").join("")], { type: "application/jsonl" }));
    link.download = "verdicts.jsonl";
    link.click();
    URL.revokeObjectURL(link.href);
  });
})();
