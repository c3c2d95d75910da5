// What the page asks of its server, and the verdicts that are on their way to it.
const token = new URLSearchParams(location.search).get("token") || "";

export const url = (path, query = {}) => {
  const q = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...query, token })) if (value !== undefined && value !== null && value !== "") q.set(key, value);
  return `/api${path}?${q}`;
};

export class Refused extends Error {
  constructor(told, status) { super(told.what || told.error || "not answered"); this.line = told.error || this.message; this.fix = told.fix || ""; this.status = status; }
}

async function answered(response) {
  if (response.ok) return response;
  let told = {};
  try { told = await response.json(); } catch { told = { error: (await response.text().catch(() => "")) || response.statusText }; }
  throw new Refused(told, response.status);
}

const headers = { "x-studio-token": token };
export const get = async (path, query, signal) => (await answered(await fetch(url(path, query), { headers, signal }))).json();
export const bytes = async (path, query, signal) => answered(await fetch(url(path, query), { headers, signal }));
export const post = async (path, body, query, signal) =>
  answered(await fetch(url(path, query), { method: "POST", signal, headers: { ...headers, "content-type": "application/json" }, body: body instanceof Uint8Array ? body : JSON.stringify(body ?? {}) }));
export const picture = (query) => url("/picture", query);

// -- what this browser keeps; where it may not (blocked, or full), this tab does for as long as it is open ---------------
const here = new Map();
export const kept = {
  get: (key) => { try { return here.get(key) ?? localStorage.getItem(key); } catch { return here.get(key) ?? null; } },
  set: (key, value) => { try { localStorage.setItem(key, value); here.delete(key); } catch { here.set(key, value); } },
  remove: (key) => { here.delete(key); try { localStorage.removeItem(key); } catch { /* it was never there */ } },
  keys: (start) => { let own = []; try { own = Object.keys(localStorage); } catch { /* none */ } return [...new Set([...own, ...here.keys()])].filter((key) => key.startsWith(start)).sort(); },
};

// -- verdicts: written here before they leave, taken away when the server has them on disk; sent again is taken once ----
// Each under a key of its own, in the order in which they were given: tabs write beside each other, not over each other.
const KEY = "studio.unsent.", PATIENCE = 75000; // longer than the server waits for whoever holds the file
const watchers = new Set();
const told = () => watchers.forEach((tell) => tell());
const put = (entry) => { kept.set(KEY + entry.id, JSON.stringify(entry)); told(); return durably((all) => all.put(entry)); };
const drop = (id) => { kept.remove(KEY + id); told(); durably((all) => all.delete(id)); };
const entries = () => kept.keys(KEY).flatMap((key) => { try { return [JSON.parse(kept.get(key))]; } catch { return []; } }).filter(Boolean);
export const unsent = () => entries().filter((e) => !e.refused);
export const refused = () => entries().filter((e) => e.refused && e.workspace === workspace);
export const watchUnsent = (tell) => { watchers.add(tell); return () => watchers.delete(tell); };
// Browsers write what they keep for a page some seconds late; beside it is a base that is on disk before it says so. What a
// killed browser had not written is taken out of that, before anything is sent.
const opened = new Promise((done) => {
  try {
    const ask = indexedDB.open("studio", 1);
    ask.onupgradeneeded = () => ask.result.createObjectStore("unsent", { keyPath: "id" });
    ask.onsuccess = () => done(ask.result);
    ask.onerror = ask.onblocked = () => done(null);
  } catch { done(null); }
});
// Resolves when it is on disk, or when this browser gives no such base.
const durably = (act) => opened.then((base) => base && new Promise((done) => {
  const work = base.transaction("unsent", "readwrite", { durability: "strict" });
  const asked = act(work.objectStore("unsent"));
  work.oncomplete = () => done(asked.result);
  work.onerror = work.onabort = () => done(null);
})).catch(() => null);
const recovered = Promise.race([
  durably((all) => all.getAll()).then((list) => { (list || []).forEach((entry) => kept.get(KEY + entry.id) === null && kept.set(KEY + entry.id, JSON.stringify(entry))); told(); }),
  new Promise((done) => { setTimeout(done, 3000); }),
]);
addEventListener("storage", (e) => e.key?.startsWith(KEY) && told());

// As an earlier version of the page kept them.
try { JSON.parse(kept.get("studio.unsent") || "[]").forEach(put); kept.remove("studio.unsent"); } catch { /* not of the page */ }

let sending = Promise.resolve();
let workspace = "";
let given = 0;
export const setWorkspace = (name) => { workspace = name; };
const named = () => `${Date.now()}-${String(given++).padStart(6, "0")}-${Math.random().toString(36).slice(2)}`;
// `safe` is called when the verdict is on this machine's disk, whatever becomes of server and browser.
export function say(path, words, safe = () => {}) {
  const entry = { id: named(), path, words, workspace };
  put(entry).then(safe);
  return send(entry.id);
}
export const again = ({ refused: _, ...entry }) => { put(entry); return send(entry.id); };
export const leave = (entry) => drop(entry.id);
const about = (e) => e.words.map((w) => JSON.stringify([e.path, w.set, w.sample, w.who]));

// One after the other, so that a reader's last word is the last on disk. Answers what the server said of `wanted`.
export function send(wanted) {
  const turn = sending.then(() => sendAll(wanted));
  sending = turn.catch(() => {});
  return turn;
}
const answers = new Map();
async function sendAll(wanted) {
  await recovered;
  const behind = new Set();
  let problem = null;
  for (const entry of unsent().filter((e) => e.workspace === workspace)) {
    // What is said of a board after a word that could not be sent waits for that.
    if (about(entry).some((one) => behind.has(one))) continue;
    try {
      const answer = await (await post(entry.path, { words: entry.words }, {}, AbortSignal.timeout(PATIENCE))).json();
      if (entry.id !== wanted) answers.set(entry.id, answer);
      else answers.delete(wanted);
      drop(entry.id);
      // Said again, and taken: what was refused of it before is settled.
      for (const old of refused()) if (about(old).every((one) => about(entry).includes(one))) drop(old.id);
      if (entry.id === wanted) return answer;
    } catch (error) {
      if (error.status === 400) {
        // What cannot be taken as it is will not be taken later: it stays here and is shown, until it is given anew or left.
        put({ ...entry, refused: error.line });
        if (entry.id === wanted) throw error;
        continue;
      }
      about(entry).forEach((one) => behind.add(one));
      problem = error;
      // A server that answers may take the others; one that is away, or was started anew and has another token, takes none.
      if (!error.status || error.status === 403) break;
    }
  }
  if (wanted === undefined) return null;
  const own = entries().find((e) => e.id === wanted);
  if (!own) { const answer = answers.get(wanted) || null; answers.delete(wanted); return answer; }
  if (own.refused) throw new Refused({ error: own.refused }, 400);
  const why = !problem?.status ? "the server does not answer" : problem.status === 403 ? "the server was started anew: open the address it printed" : problem.line;
  throw new Refused({ error: `not saved yet, kept here and sent again: ${why}` }, 0);
}
// Before a reader's last word is taken back, all of them are on disk: the last there is then the last that was given.
export async function settled() {
  await send();
  if (unsent().some((e) => e.workspace === workspace)) throw new Refused({ error: "not every verdict is sent yet: nothing was taken back" }, 0);
}

// A reader's newest word among some.
export const newest = (words, reader) => words.filter((w) => w.who === reader).sort((a, b) => (a.when < b.when ? 1 : -1))[0];

export function download(blob, name) {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(blob);
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}
