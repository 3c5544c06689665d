// Generate types with graphql-codegen's client preset: node codegen.mjs SCHEMA DOCUMENTS FOLDER CONFIG, where CONFIG is JSON.
// What the command line of graphql-codegen does with {preset: "client", config: …}, without its loaders and watchers.
import {mkdirSync, readFileSync, writeFileSync} from "node:fs";
import {dirname} from "node:path";
import {codegen} from "@graphql-codegen/core";
import {preset} from "@graphql-codegen/client-preset";
import {buildSchema, parse} from "graphql";

const [schemaFile, documentsFile, folder, config] = process.argv.slice(2);
const sdl = readFileSync(schemaFile, "utf8");
const text = readFileSync(documentsFile, "utf8");
const sections = await preset.buildGeneratesSection({
  baseOutputDir: `${folder}/`,
  schema: parse(sdl),
  schemaAst: buildSchema(sdl),
  documents: [{location: documentsFile, rawSDL: text, document: parse(text)}],
  documentsReadOnly: [],
  documentTransforms: [],
  config: JSON.parse(config),
  presetConfig: {},
  plugins: [],
  pluginMap: {},
  pluginContext: {},
});
for (const section of sections) {
  mkdirSync(dirname(section.filename), {recursive: true});
  writeFileSync(section.filename, await codegen(section));
}
