// Write ../graphiql.js, ../graphiql.css and ../LICENSES.txt: all that the page needs, so that it works without a network.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

// GraphiQL's style sheets carry two fonts (500 kB). The page uses those of the machine.
const withoutFonts = {
  name: "without-fonts",
  setup({ onLoad }) {
    onLoad({ filter: /\.css$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replace(/@font-face\s*\{[^}]*\}/g, ""),
      loader: "css",
    }));
  },
};

const { metafile } = await build({
  entryPoints: { graphiql: "main.jsx" },
  outdir: "..",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  plugins: [withoutFonts],
  define: { "process.env.NODE_ENV": '"production"' },
  legalComments: "none", // LICENSES.txt holds the full texts
  metafile: true,
});

const folders = new Set(
  Object.values(metafile.outputs)
    .flatMap((output) => Object.keys(output.inputs))
    .map((path) => path.match(/^(?:.*node_modules\/)(?:@[^/]+\/)?[^/]+/)?.[0])
    .filter(Boolean),
);
const texts = [...folders].sort().map((folder) => {
  const { name, version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
  return `${name} ${version} (${license})\n\n${file ? readFileSync(`${folder}/${file}`, "utf8").trim() : "The package names its licence and ships no text."}\n`;
});
writeFileSync("../LICENSES.txt", texts.join(`\n${"-".repeat(80)}\n\n`));

for (const [path, output] of Object.entries(metafile.outputs)) console.log(path, output.bytes);
