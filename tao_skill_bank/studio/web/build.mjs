// The page's bundles, out of this folder and of what the lock names: `make studio`.
import { build } from "esbuild";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const out = new URL("../static/", import.meta.url).pathname, here = new URL("./", import.meta.url).pathname;
mkdirSync(out, { recursive: true });
const made = await build({
  entryPoints: [`${here}src/main.js`, `${here}src/map.js`], bundle: true, minify: true, format: "iife", target: ["chrome109", "firefox115", "safari16.4"], charset: "utf8",
  legalComments: "none", write: false, metafile: true, outdir: out, absWorkingDir: here, alias: { react: "preact/compat" },
});
for (const file of made.outputFiles) writeFileSync(file.path.replace("/main.js", "/studio.js"), file.contents);
const style = await build({ entryPoints: [`${here}src/studio.css`, `${here}src/map.css`], minify: true, write: false, outdir: out });
for (const file of style.outputFiles) writeFileSync(file.path, file.contents);
for (const name of ["index.html", "map.html", "icon.svg"]) cpSync(`${here}src/${name}`, `${out}${name}`);

// Whose work is inside, and under which licence.
const inside = new Set(Object.keys(made.metafile.inputs).map((p) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(p)?.[1]).filter(Boolean));
const texts = [...inside].sort().map((name) => {
  const folder = `${here}node_modules/${name}/`, about = JSON.parse(readFileSync(`${folder}package.json`, "utf8"));
  const file = readdirSync(folder).find((f) => /^licen[cs]e/i.test(f));
  const kind = about.license || about.licenses?.[0]?.type;
  return `${name} ${about.version} (${kind})\n\n${file ? readFileSync(`${folder}${file}`, "utf8").trim() : `No licence file is published with it; its package says ${kind}.`}\n`;
});
writeFileSync(`${out}LICENSES.txt`, `The page holds work of others:\n\n${texts.join(`\n${"-".repeat(72)}\n\n`)}`);

// By what a test tells whether the bundles are those of the sources.
const sha = (data) => createHash("sha256").update(data).digest("hex");
const sources = ["package.json", "package-lock.json", "build.mjs", ...readdirSync(`${here}src`).sort().map((f) => `src/${f}`)];
const files = readdirSync(out).filter((f) => f !== "manifest.json").sort();
const sizes = Object.fromEntries(files.map((f) => [f, gzipSync(readFileSync(`${out}${f}`), { level: 9 }).length]));
const manifest = { sources: Object.fromEntries(sources.map((f) => [f, sha(readFileSync(`${here}${f}`))])), files: Object.fromEntries(files.map((f) => [f, sha(readFileSync(`${out}${f}`))])) };
writeFileSync(`${out}manifest.json`, `${JSON.stringify(manifest, null, 1)}\n`);
console.log(sizes, "gzip in all:", Object.entries(sizes).filter(([f]) => f !== "LICENSES.txt").reduce((n, [, s]) => n + s, 0));
