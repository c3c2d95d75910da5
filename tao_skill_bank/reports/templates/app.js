"use strict";
// The report inside a chat host: it asks the host for the page of the run that the tool rendered, and puts it here.
(() => {
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

  const { request, say } = host("tao-skill-bank-report", "DEFT loop report", "there is no report of it", show);
})();
