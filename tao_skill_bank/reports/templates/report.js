"use strict";
(() => {
  const root = document.documentElement;
  root.classList.replace("no-script", "js");
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const shelf = "tao-report-theme";

  // Light or dark: what the system says, until somebody chooses.
  const theme = document.getElementById("theme");
  if (theme) {
    const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
    const name = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
    try { const kept = localStorage.getItem(shelf); if (kept === "dark" || kept === "light") root.dataset.theme = kept; } catch (error) { /* a browser that keeps nothing for files */ }
    name();
    theme.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      try { localStorage.setItem(shelf, root.dataset.theme); } catch (error) { /* as above */ }
      name();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
  }

  // The contents list follows the reader.
  const links = new Map(all(".contents a").map((a) => [a.hash.slice(1), a]));
  if (links.size && "IntersectionObserver" in window) {
    const seen = new Set();
    const spy = new IntersectionObserver((entries) => {
      for (const e of entries) e.isIntersecting ? seen.add(e.target.id) : seen.delete(e.target.id);
      const now = [...links.keys()].find((id) => seen.has(id));
      for (const [id, a] of links) id === now ? a.setAttribute("aria-current", "true") : a.removeAttribute("aria-current");
    }, { rootMargin: "-10% 0px -70% 0px" });
    for (const id of links.keys()) { const section = document.getElementById(id); if (section) spy.observe(section); }
  }

  // One lighting at a time in the galleries.
  for (const bar of all(".lights")) {
    const within = bar.parentElement;
    const show = (light) => {
      for (const b of all("button", bar)) b.setAttribute("aria-pressed", String(b.dataset.light === light));
      for (const s of all(".shots[data-light]", within)) s.hidden = light !== "*" && s.dataset.light !== light;
      within.classList.toggle("all-lights", light === "*");
    };
    for (const b of all("button", bar)) b.addEventListener("click", () => show(b.dataset.light));
    const first = bar.querySelector("button[data-light]");
    if (first) show(first.dataset.light);
  }

  // A served page follows its run; where the reader was, the browser keeps.
  if (root.dataset.live) {
    setInterval(async () => {
      if (document.hidden) return;
      try {
        const answer = await fetch("mark", { cache: "no-store" });
        if (answer.ok && await answer.text() !== root.dataset.live) location.reload();
      } catch (error) { /* the server has ended; what is shown stays */ }
    }, 2000);
  }

  // Every detail is printed.
  let closed = [];
  addEventListener("beforeprint", () => { closed = all("details:not([open])"); for (const d of closed) d.open = true; });
  addEventListener("afterprint", () => { for (const d of closed) d.open = false; });

  // Score explorer: an iteration at a time, and any threshold tried out on it.
  const data = document.getElementById("explorer-data");
  const explorer = document.querySelector(".explorer");
  if (!data || !explorer) return;
  const phases = JSON.parse(data.textContent);
  const frames = all(".frame", explorer);
  const slider = document.getElementById("scrub");
  const digits = (v) => {
    const size = Math.abs(v);
    if (!size) return "0";
    if (size < 0.1) return String(Number(v.toPrecision(2)));
    const text = v.toFixed(size >= 9.995 ? 1 : 2);
    if (text === "100.0" && v !== 100) { const p = Math.min(Math.max(1, Math.ceil(-Math.log10(100 - v))), 12); return (Math.floor(v * 10 ** p) / 10 ** p).toFixed(p); }
    return text === "100.0" ? "100" : text;
  };
  const scored = (v) => {
    const size = Math.abs(v);
    return size >= 1e-3 && size < 10 ? v.toFixed(6) : String(Number(v.toPrecision(6)));
  };
  const share = (k, n) => {
    if (!n) return "–";
    const [low, high] = interval(k, n);
    return `${digits(100 * k / n)} % (${digits(100 * low)}–${digits(100 * high)} %)`;
  };
  const show = (at) => {
    frames.forEach((f, i) => { f.hidden = i !== at; });
    if (slider) {
      slider.value = at;
      slider.setAttribute("aria-valuetext", phases[at].title);
      document.getElementById("scrub-name").textContent = phases[at].title;
    }
  };
  if (slider) {
    slider.addEventListener("input", () => show(Number(slider.value)));
    show(Number(slider.dataset.start));
  }
  frames.forEach((frame, at) => {
    const phase = phases[at];
    const input = frame.querySelector(".try-row input");
    if (!input || !phase.t.length) return;
    const out = frame.querySelector(".try-row output");
    const cut = frame.querySelector(".cut.try");
    const dot = frame.querySelector(".here.try");
    input.addEventListener("input", () => {
      const i = Number(input.value);
      const x = 100 * (phase.t[i] - phase.low) / (phase.high - phase.low);
      const threshold = scored(phase.t[i]);
      cut.setAttribute("x1", x + "%"); cut.setAttribute("x2", x + "%"); cut.removeAttribute("visibility");
      if (dot) {
        const far = 100 * phase.fp[i] / phase.passes, recall = 100 * (phase.defects - phase.fn[i]) / phase.defects;
        const inside = far <= phase.far_top && recall >= phase.recall_floor;
        const across = far / phase.far_top;
        dot.setAttribute("cx", 100 * (phase.far_bent ? Math.sqrt(across) : across) + "%");
        dot.setAttribute("cy", 100 - 100 * (recall - phase.recall_floor) / (100 - phase.recall_floor) + "%");
        inside ? dot.removeAttribute("visibility") : dot.setAttribute("visibility", "hidden");
      }
      input.setAttribute("aria-valuetext", "threshold " + threshold);
      out.textContent = `At ${threshold}: FAR ${share(phase.fp[i], phase.passes)}, ${phase.fp[i]} of ${phase.passes} PASS flagged. `
        + `Recall ${share(phase.defects - phase.fn[i], phase.defects)}, ${phase.fn[i]} of ${phase.defects} defects missed.`;
    });
  });

  // Exact 95 % binomial interval (Clopper-Pearson) by bisecting the regularised incomplete beta function.
  function interval(k, n) {
    return [k === 0 ? 0 : quantile(k, n - k + 1, 0.025), k === n ? 1 : 1 - quantile(n - k, k + 1, 0.025)];
  }
  function quantile(a, b, tail) {
    let low = 0, high = 1;
    for (let i = 0; i < 80; i += 1) {
      const x = (low + high) / 2;
      if (beta(a, b, x) < tail) low = x; else high = x;
    }
    return (low + high) / 2;
  }
  function beta(a, b, x) {
    if (x <= 0) return 0;
    if (x >= 1) return 1;
    const front = Math.exp(gamma(a + b) - gamma(a) - gamma(b) + a * Math.log(x) + b * Math.log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * fraction(a, b, x) / a : 1 - front * fraction(b, a, 1 - x) / b;
  }
  // The continued fraction of the incomplete beta function, evaluated from the front.
  function fraction(a, b, x) {
    const tiny = 1e-300, safe = (v) => (Math.abs(v) < tiny ? tiny : v);
    let c = 1, d = 1 / safe(1 - (a + b) * x / (a + 1)), value = d;
    for (let m = 1; m < 3000; m += 1) {
      for (const term of [m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)), -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))]) {
        d = 1 / safe(1 + term * d);
        c = safe(1 + term / c);
        value *= d * c;
      }
      if (Math.abs(d * c - 1) < 1e-14) break;
    }
    return value;
  }
  // log Γ of a positive integer or half-integer, by Stirling's series after shifting upwards.
  function gamma(z) {
    let shift = 0;
    while (z < 12) { shift += Math.log(z); z += 1; }
    const q = 1 / (z * z);
    return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + (1 / 12 - q * (1 / 360 - q * (1 / 1260 - q / 1680))) / z - shift;
  }
})();
