"use strict";
// What a page inside a chat host says to it, and hears from it: `show` gets a tool's result, `request` asks the host.
function host(name, title, nothing, show) {
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

  window.addEventListener("message", (event) => {
    if (event.source !== window.parent || !event.data || event.data.jsonrpc !== "2.0") return;
    const { id, method, params, result, error } = event.data;
    if (method === undefined && waiting.has(id)) {
      const { resolve, reject } = waiting.get(id);
      waiting.delete(id);
      error ? reject(new Error(error.message)) : resolve(result);
    } else if (method === "ui/notifications/tool-result") show(params);
    else if (method === "ui/notifications/host-context-changed") dress(params);
    else if (method === "ui/notifications/tool-cancelled") say(`The tool was cancelled; ${nothing}.`);
    else if (id !== undefined && (method === "ping" || method === "ui/resource-teardown")) send({ id, result: {} });
    else if (id !== undefined) send({ id, error: { code: -32601, message: `no method ${method}` } });
  });

  request("ui/initialize", {
    appInfo: { name, title, version: root.dataset.version },
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
  return { request, say };
}
