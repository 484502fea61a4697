// Builds the page's script and style sheet, and gathers the licences of what is inside: node build.mjs FOLDER
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, "dist"));
mkdirSync(out, { recursive: true });

const result = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.ts", compare: "src/compare/compare.ts" },
  outdir: out,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "ascii",
  legalComments: "none",
  define: { "process.env.NODE_ENV": '"production"' },
  metafile: true,
  logLevel: "warning",
});

// The widget of a notebook, which loads it as a module. It holds nothing of app.js, which Python sends it for its frame.
await build({
  absWorkingDir: here,
  entryPoints: { widget: "src/widget/widget.ts" },
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  charset: "ascii",
  logLevel: "warning",
});

copyFileSync(join(here, "src/index.html"), join(out, "index.html"));
copyFileSync(join(here, "src/compare/compare.html"), join(out, "compare.html"));
const packages = new Set(
  Object.keys(result.metafile.inputs)
    .map((path) => path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1])
    .filter(Boolean),
);
const parts = [...packages].sort().map((name) => {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  const text = file && existsSync(join(folder, file)) ? readFileSync(join(folder, file), "utf8").trim() : "";
  return `${name} ${version} (${license})\n\n${text}`.trim();
});
writeFileSync(join(out, "licences.txt"), `app.js contains these packages.\n\n${parts.join(`\n\n${"-".repeat(80)}\n\n`)}\n`);
