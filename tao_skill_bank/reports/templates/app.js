"use strict";
// The report inside a chat host: it asks the host for the page of the run that the tool rendered, and puts it here.
(() => {
  const root = document.documentElement;
  const waiting = new Map();
  let number = 0;
  const send = (message) => window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
  const request = (method, params) => new Promise((resolve, reject) => {
    number += 1;
    waiting.set(number, { resolve, reject });
    send({ id: number, method, params });
  });
  const say = (text) => { const state = document.getElementById("state"); if (state) state.textContent = text; };
  const dress = (context) => {
    if (context && (context.theme === "light" || context.theme === "dark")) root.dataset.theme = context.theme;
  };

  const show = async (result) => {
    const found = result && result.structuredContent;
    if (!found || typeof found.path !== "string") return say("The tool gave no report.");
    const folder = found.path.slice(0, Math.max(found.path.lastIndexOf("/"), 0));
    say(found.status);
    try {
      const answer = await request("resources/read", { uri: `deft-run://${encodeURIComponent(folder)}/report` });
      const page = new DOMParser().parseFromString(answer.contents[0].text, "text/html");
      const data = page.getElementById("explorer-data");
      // Only what is to be looked at is taken over: the page's own script stays behind, this one's twin runs.
      for (const node of page.querySelectorAll("script, style, link, meta, base, iframe, object, embed")) node.remove();
      document.getElementById("place").replaceChildren(...page.body.childNodes);
      if (data) {
        const kept = document.createElement("script");
        kept.type = "application/json";
        kept.id = "explorer-data";
        kept.textContent = data.textContent;
        document.body.append(kept);
      }
      liven();
    } catch (error) {
      say(`${found.verdict || found.status}. ${found.path}`);
    }
  };

  window.addEventListener("message", (event) => {
    if (event.source !== window.parent || !event.data || event.data.jsonrpc !== "2.0") return;
    const { id, method, params, result, error } = event.data;
    if (method === undefined && waiting.has(id)) {
      const { resolve, reject } = waiting.get(id);
      waiting.delete(id);
      error ? reject(new Error(error.message)) : resolve(result);
    } else if (method === "ui/notifications/tool-result") show(params);
    else if (method === "ui/notifications/host-context-changed") dress(params);
    else if (method === "ui/notifications/tool-cancelled") say("The tool was cancelled; there is no report of it.");
    else if (id !== undefined && (method === "ping" || method === "ui/resource-teardown")) send({ id, result: {} });
    else if (id !== undefined) send({ id, error: { code: -32601, message: `no method ${method}` } });
  });

  request("ui/initialize", {
    appInfo: { name: "tao-skill-bank-report", title: "DEFT loop report", version: root.dataset.version },
    appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
    protocolVersion: "2026-01-26",
  }).then((answer) => {
    dress(answer && answer.hostContext);
    send({ method: "ui/notifications/initialized", params: {} });
    new ResizeObserver(() => send({
      method: "ui/notifications/size-changed",
      params: { width: root.scrollWidth, height: Math.ceil(document.body.getBoundingClientRect().height) },
    })).observe(document.body);
  }, () => say("The host gave no answer."));
})();
