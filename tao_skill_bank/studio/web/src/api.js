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
export const post = async (path, body, query) =>
  answered(await fetch(url(path, query), { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: body instanceof Uint8Array ? body : JSON.stringify(body ?? {}) }));
export const picture = (query) => url("/picture", query);

// -- verdicts: written here before they leave, taken away when the server has them on disk; sent again is taken once ----
const KEY = "studio.unsent";
const watchers = new Set();
export const unsent = () => { try { return JSON.parse(localStorage.getItem(KEY) || "[]"); } catch { return []; } };
const keep = (list) => { localStorage.setItem(KEY, JSON.stringify(list)); watchers.forEach((tell) => tell()); };
export const watchUnsent = (tell) => { watchers.add(tell); return () => watchers.delete(tell); };
addEventListener("storage", (e) => e.key === KEY && watchers.forEach((tell) => tell()));

let sending = null;
let workspace = "";
export const setWorkspace = (name) => { workspace = name; };
export function say(path, words) {
  const id = `${Date.now()}-${Math.random().toString(36).slice(2)}`;
  keep([...unsent(), { id, path, words, workspace }]);
  return send(id);
}
// One after the other, so that a reader's last word is the last on disk.
export function send(wanted) {
  const chain = (sending || Promise.resolve()).catch(() => {}).then(async () => {
    let result = null;
    for (const entry of unsent().filter((e) => e.workspace === workspace)) {
      try {
        const answer = await (await post(entry.path, { words: entry.words })).json();
        if (entry.id === wanted) result = answer;
        keep(unsent().filter((e) => e.id !== entry.id));
      } catch (error) {
        // What the server refuses will be refused again: it is taken away and told. What did not reach it stays, and so
        // does what came to a server that was started anew and has another token.
        if (error instanceof Refused && (error.status === 400 || error.status === 409)) { keep(unsent().filter((e) => e.id !== entry.id)); if (entry.id === wanted) throw error; continue; }
        if (entry.id === wanted) throw new Refused({ error: error.status === 403 ? "the server was started anew: open the address it printed; the verdict is kept here" : "the server does not answer; the verdict is kept here and sent when it is back" }, 0);
        return result;
      }
    }
    return result;
  });
  sending = chain;
  return chain;
}

export function download(blob, name) {
  const a = document.createElement("a");
  a.href = URL.createObjectURL(blob);
  a.download = name;
  a.click();
  setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}
