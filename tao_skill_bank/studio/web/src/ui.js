// The small things that every view is made of.
import { h, createContext, options } from "preact";
import { useContext, useEffect, useLayoutEffect, useRef, useState, useCallback, useMemo } from "preact/hooks";
import htm from "htm";
import { get, picture } from "./api.js";

export const html = htm.bind(h);
// What is shown works: effects, keys among them, run before anything else can happen, not after the next frame.
options.requestAnimationFrame = (run) => queueMicrotask(run);
export { useContext, useEffect, useLayoutEffect, useRef, useState, useCallback, useMemo };
export const App = createContext(null);

// -- addresses ----------------------------------------------------------------------------------------------------------
export const place = () => {
  const [path, query] = (location.hash.replace(/^#/, "") || "/").split("?");
  return { path: path || "/", parts: path.split("/").filter(Boolean).map(decodeURIComponent), query: Object.fromEntries(new URLSearchParams(query || "")) };
};
export const to = (path, query = {}) => {
  const q = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== undefined && v !== null && v !== ""));
  return `#${path}${[...q].length ? `?${q}` : ""}`;
};
// At once, not with the browser's next event: a key that follows is one on the new place.
const moved = () => dispatchEvent(new HashChangeEvent("hashchange"));
export const visit = (hash) => { if (hash !== location.hash) { history.pushState(null, "", hash); moved(); } };
export const go = (path, query) => visit(to(path, query));
export const put = (path, query) => { history.replaceState(null, "", to(path, query)); moved(); };
export function usePlace() {
  const [at, set] = useState(place());
  useEffect(() => { const f = () => set(place()); addEventListener("hashchange", f); return () => removeEventListener("hashchange", f); }, []);
  return at;
}

// -- asking -------------------------------------------------------------------------------------------------------------
export function useAsk(path, query, { every, when = true } = {}) {
  const [state, set] = useState({ data: null, error: null, busy: true });
  const key = JSON.stringify([path, query]);
  const [turn, again] = useState(0);
  useEffect(() => {
    if (!path || !when) return undefined;
    const stop = new AbortController();
    let timer = 0;
    const ask = async () => {
      try {
        const data = await get(path, query, stop.signal);
        set({ data, error: null, busy: false });
        const wait = typeof every === "function" ? every(data) : every;
        if (wait) timer = setTimeout(ask, document.hidden ? wait * 4 : wait);
      } catch (error) {
        if (error.name === "AbortError") return;
        set((old) => ({ data: old.data, error, busy: false }));
        if (every) timer = setTimeout(ask, 5000);
      }
    };
    set((old) => ({ ...old, busy: true }));
    ask();
    return () => { stop.abort(); clearTimeout(timer); };
  }, [key, turn, when]);
  return { ...state, again: () => again((n) => n + 1) };
}

// -- words --------------------------------------------------------------------------------------------------------------
const whole = new Intl.NumberFormat("en");
export const count = (n) => (n === null || n === undefined ? "–" : whole.format(n));
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
export const percent = (v) => {
  if (v === null || v === undefined || !Number.isFinite(v)) return "–";
  const digits = v === 0 || Math.abs(v) >= 10 ? 1 : Math.abs(v) >= 0.1 ? 2 : 3;
  return `${v.toFixed(digits).replace(/\.0$/, "")} %`;
};
export const range = (i) => (i ? `${percent(i.low_pct).replace(" %", "")}–${percent(i.high_pct)}` : "");
export const score = (v) => (v === null || v === undefined ? "" : Math.abs(v) >= 100 ? v.toFixed(1) : v.toPrecision(3));
export const duration = (s) => {
  if (s === null || s === undefined) return "";
  if (s < 90) return `${Math.round(s)} s`;
  const m = Math.round(s / 60);
  return m < 90 ? `${m} min` : `${Math.floor(m / 60)} h ${m % 60} min`;
};
export const ago = (iso) => {
  const s = (Date.now() - new Date(iso)) / 1000;
  if (!Number.isFinite(s)) return "";
  if (s < 90) return "just now";
  if (s < 5400) return `${Math.round(s / 60)} min ago`;
  if (s < 129600) return `${Math.round(s / 3600)} h ago`;
  return new Date(iso).toLocaleDateString("en", { day: "numeric", month: "short", year: "numeric" });
};
// What stands of a label, in short.
export const saidShort = { relabelled: "relabelled", dropped: "dropped", disputed: "disputed", kept: "checked", doubted: "doubted", "": "said" };
export const phaseName = (p) => (p === "baseline" ? "Baseline" : p.replace("iter", "Iteration "));
export const setTitle = { kpi: "KPI", acceptance: "Acceptance", training: "Training", validation: "Validation", pool: "Mining pool" };
export const tone = (run) => (run.working ? "running" : run.status === "complete" ? (run.verdict?.may_ship ? "met" : "near") : "stopped");

// -- parts --------------------------------------------------------------------------------------------------------------
export const Key = ({ children }) => html`<kbd>${children}</kbd>`;
export const Empty = ({ title, children }) => html`<div class="empty" role="status"><h2>${title}</h2><div>${children}</div></div>`;
export const Problem = ({ error, again }) => html`<div class="problem" role="alert"><b>${error.message}</b>${error.fix && html`<span>${error.fix}</span>`}${again && html`<button class="tool" onClick=${again}>Try again</button>`}</div>`;
export const Waiting = ({ what = "Reading" }) => html`<p class="waiting" role="status"><i></i>${what}…</p>`;
export const Chip = ({ tone: t, children }) => html`<span class="chip ${t || ""}">${children}</span>`;
export const Command = ({ children }) => html`<code class="command">${children}</code>`;
export const Rate = ({ value, interval }) => html`<span class="rate"><b>${percent(value)}</b>${interval && html` <small>${range(interval)}</small>`}</span>`;

export function Spark({ values, width = 120, height = 26, label }) {
  if (!values || values.length < 2) return null;
  const low = Math.min(...values), high = Math.max(...values), span = high - low || 1;
  const points = values.map((v, i) => `${((i / (values.length - 1)) * width).toFixed(1)},${(height - 2 - ((v - low) / span) * (height - 4)).toFixed(1)}`).join(" ");
  return html`<svg class="spark" viewBox="0 0 ${width} ${height}" width=${width} height=${height} role="img" aria-label=${label}><polyline points=${points} /></svg>`;
}

export function Thumb({ query, alt, edge = 192, cls = "" }) {
  const [state, set] = useState("");
  const src = picture({ ...query, edge });
  useEffect(() => set(""), [src]);
  return html`<span class="thumb ${cls} ${state}">${state === "gone" ? html`<em>no picture</em>` : html`<img src=${src} alt=${alt} loading="lazy" decoding="async" draggable=${false} onLoad=${() => set("there")} onError=${() => set("gone")} />`}</span>`;
}

export function Dialog({ title, onClose, children }) {
  const ref = useRef();
  useEffect(() => { ref.current.showModal(); return () => ref.current?.close?.(); }, []);
  return html`<dialog ref=${ref} aria-label=${title} onCancel=${(e) => { e.preventDefault(); onClose(); }} onClick=${(e) => e.target === ref.current && onClose()}><h2>${title}</h2>${children}</dialog>`;
}

// Keys of a view; none while somebody writes.
export function useKeys(keys, on = true) {
  const held = useRef(keys);
  held.current = keys;
  useEffect(() => {
    if (!on) return undefined;
    const f = (e) => {
      if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey) return;
      const field = e.target.closest?.("input, textarea, select, [contenteditable]");
      if (field && !(field.type === "checkbox" || field.type === "range")) return;
      if (document.querySelector("dialog[open]") && !e.target.closest("dialog")) return;
      const act = held.current[e.key] || held.current[e.key.toLowerCase()];
      if (act) { e.preventDefault(); act(e); }
    };
    addEventListener("keydown", f);
    return () => removeEventListener("keydown", f);
  }, [on]);
}

// Keys of a view in which "u" takes something back: one that follows is meant for what then shows, and waits for it.
export function useInTurn(keys) {
  const held = useRef(keys), late = useRef(null);
  held.current = keys;
  const turn = (key) => () => {
    const act = () => held.current[key]?.();
    if (key === "u") {
      const done = (late.current || Promise.resolve()).then(act).then(() => new Promise((seen) => { setTimeout(seen); }));
      late.current = done;
      done.then(() => { if (late.current === done) late.current = null; });
    } else if (late.current) late.current.then(act);
    else act();
  };
  return Object.fromEntries(Object.keys(keys).map((key) => [key, turn(key)]));
}

const tellers = new Set();
export const tell = (text, kind = "") => tellers.forEach((f) => f({ text, kind, at: Date.now() + Math.random() }));
export function Toasts() {
  const [list, set] = useState([]);
  useEffect(() => {
    const f = (one) => { set((l) => [...l.slice(-2), one]); setTimeout(() => set((l) => l.filter((x) => x !== one)), one.kind === "bad" ? 9000 : 3500); };
    tellers.add(f);
    return () => tellers.delete(f);
  }, []);
  return html`<div class="toasts" aria-live="polite">${list.map((one) => html`<div class="toast ${one.kind}" key=${one.at}>${one.text}</div>`)}</div>`;
}
