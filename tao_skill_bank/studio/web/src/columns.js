// A set in the browser: columns in the order of scores, so that every pile is a range at every threshold.
import { bytes, get } from "./api.js";

const kinds = { Float64Array, Uint32Array, Uint16Array, Uint8Array };
const kept = new Map();
let begun = null;

const asked = (query) => JSON.stringify([query.run, query.set || "kpi", query.iteration]);
// An address that filters nothing: whatever is read first is a part of what it shows.
export const isPlain = (query) => Object.keys(query).every((key) => ["run", "set", "iteration", "pile"].includes(key));

export function ahead(address) {
  const { run, set = "kpi", iteration } = address;
  const query = { run, set, iteration };
  const held = { key: asked(query), part: null, tell: null };
  held.set = read(query, undefined, isPlain(address) && ((part) => { held.part = part; held.tell?.(part); }));
  held.set.catch(() => {});
  begun = held;
}

// `early` gets the first rows of a large set, while the others are read; null where none are wanted.
export async function readSet(query, signal, early) {
  const held = begun;
  begun = null;
  if (held?.key !== asked(query)) return read(query, signal, early);
  if (early && held.part) early(held.part);
  held.tell = early || null;
  return held.set;
}

async function first(query, signal) {
  const answer = await bytes("/samples/first", query, signal);
  if (answer.status === 204) return null;
  const buffer = await answer.arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  return tableOf(JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length))), buffer, 4 + length);
}

function tableOf(about, buffer, start) {
  const columns = {};
  for (const c of about.columns) columns[c.name] = new kinds[c.kind](buffer, start + c.offset, c.length);
  return new SampleTable(about, columns);
}

const drawn = () => new Promise((done) => { requestAnimationFrame(() => setTimeout(done)); setTimeout(done, 200); });

async function read(query, signal, early) {
  const part = early && (await first(query, signal).catch(() => null));
  // What is there is shown before the server and this page work on the rest.
  if (part && !signal?.aborted) { early(part); await drawn(); }
  const about = await get("/samples", query, signal);
  const key = `${about.run}/${about.set}/${about.iteration}/${about.digest}`;
  if (kept.has(key)) return kept.get(key);
  const buffer = await (await bytes("/samples/columns", query, signal)).arrayBuffer();
  const made = tableOf(about, buffer, 0);
  kept.set(key, made);
  if (kept.size > 4) kept.delete(kept.keys().next().value);
  return made;
}

// First place in `index` (ascending) whose score is above `t`.
function above(index, scores, t) {
  let low = 0, high = index.length;
  while (low < high) { const mid = (low + high) >> 1; if (scores[index[mid]] > t) high = mid; else low = mid + 1; }
  return low;
}

export const PILES = ["missed", "false", "near", "right", "all"];
export const pileName = { missed: "Missed", false: "False calls", near: "Near the line", right: "Right", all: "All" };

export class SampleTable {
  constructor(about, columns) {
    this.about = about;
    this.columns = columns;
    this.rows = columns.row;
    this.scores = columns.score || null;
    this.label = columns.label;
    this.good = Uint8Array.from(about.passes, Number);
    const n = this.rows.length;
    if (this.scores && n) {
      this.low = this.scores[0];
      this.high = this.scores[n - 1];
      const q = (p) => this.scores[Math.min(n - 1, Math.floor(p * n))];
      this.band = 0.05 * (q(0.995) - q(0.005) || 1);
      if (this.high === this.low) { this.low -= 0.5; this.high += 0.5; }
    }
    this.filter({}, null);
  }

  // A facet that is not of the file: codes of some rows by their number there, the first value for all others.
  mark({ name, title, values, rows, codes }) {
    const by = new Map(rows.map((row, i) => [row, codes[i]])), column = new Uint8Array(this.rows.length);
    const counts = new Array(values.length).fill(0);
    for (let k = 0; k < column.length; k++) { const code = by.get(this.rows[k]); if (code) column[k] = code; counts[column[k]]++; }
    this.columns[name] = column;
    return { name, title, values, counts };
  }

  // `wanted`: facet name → Set of codes; `within`: 1 for every place that a lasso or a search lets through, or null.
  filter(wanted, within) {
    const n = this.rows.length, tests = [];
    for (const [name, codes] of Object.entries(wanted)) {
      const column = this.columns[name];
      if (!column || !codes.size) continue;
      const lets = new Uint8Array(65536);
      codes.forEach((c) => { lets[c] = 1; });
      tests.push([column, lets]);
    }
    const all = new Uint32Array(n), passes = new Uint32Array(n), defects = new Uint32Array(n);
    let a = 0, p = 0, d = 0;
    for (let k = 0; k < n; k++) {
      if (within && !within[k]) continue;
      let fits = true;
      for (const [column, lets] of tests) if (!lets[column[k]]) { fits = false; break; }
      if (!fits) continue;
      all[a++] = k;
      if (this.good[this.label[k]]) passes[p++] = k; else defects[d++] = k;
    }
    this.all = all.subarray(0, a);
    this.passes = passes.subarray(0, p);
    this.defects = defects.subarray(0, d);
    this.bins = null;
  }

  at(t) {
    if (!this.scores || t === null) return { missed: 0, false: 0, near: 0, right: 0, all: this.all.length, list: () => this.list("all", 0, {}) };
    const s = this.scores, b = this.band;
    const m = above(this.defects, s, t), f = above(this.passes, s, t);
    const dn = above(this.defects, s, t + b), pn = above(this.passes, s, t - b);
    const cut = { m, f, dn, pn };
    const near = dn - m + (f - pn);
    const right = this.defects.length - m + f - near;
    return { missed: m, false: this.passes.length - f, near, right, all: this.all.length, cut };
  }

  // The i-th of a pile, worst first, as a place in the order of scores.
  pick(pile, counts, i) {
    const c = counts.cut;
    if (pile === "all" || !c) return this.scores ? this.all[this.all.length - 1 - i] : this.all[i];
    if (pile === "missed") return this.defects[i];
    if (pile === "false") return this.passes[this.passes.length - 1 - i];
    const near = c.dn - c.m;
    if (pile === "near") return i < near ? this.defects[c.m + i] : this.passes[c.f - 1 - (i - near)];
    const rest = this.defects.length - c.dn;
    return i < rest ? this.defects[c.dn + i] : this.passes[c.pn - 1 - (i - rest)];
  }

  histogram(size = 96) {
    if (this.bins) return this.bins;
    const step = (this.high - this.low) / size, x = [], good = [], bad = [];
    const places = (index) => {
      const out = [];
      let before = 0;
      for (let i = 0; i < size; i++) { const to = i === size - 1 ? index.length : above(index, this.scores, this.low + step * (i + 1)); out.push(to - before); before = to; }
      return out;
    };
    for (let i = 0; i < size; i++) x.push(this.low + step * (i + 0.5));
    good.push(...places(this.passes));
    bad.push(...places(this.defects));
    this.bins = { x, good, bad, step };
    return this.bins;
  }

  figures(counts) {
    const d = this.defects.length, p = this.passes.length;
    return { recall: d ? (100 * (d - counts.missed)) / d : null, far: p ? (100 * counts.false) / p : null };
  }
}

// Text of the rows that are in view, asked for together and kept.
export class Texts {
  constructor(query, ready) { this.query = query; this.ready = ready; this.found = new Map(); this.asked = new Set(); this.timer = 0; }
  of(row) {
    const found = this.found.get(row);
    if (!found && !this.asked.has(row)) { this.asked.add(row); this.timer ||= setTimeout(() => this.fetch(), 40); }
    return found;
  }
  async fetch() {
    this.timer = 0;
    const rows = [...this.asked].slice(-240);
    this.asked.clear();
    try {
      const { rows: got } = await get("/samples/rows", { ...this.query, rows: rows.join(",") });
      if (this.found.size > 20000) this.found.clear();
      got.forEach((r) => this.found.set(r.row, r));
      this.ready();
    } catch { /* asked again when it comes into view again */ }
  }
}
