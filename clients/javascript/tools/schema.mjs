// Writes src/schema.mjs from the schemas of the specification: `node tools/schema.mjs` after either of them changed.

import { readFileSync, writeFileSync } from "node:fs";

const spec = new URL("../../../routing/spec/", import.meta.url);
const read = (name) => JSON.parse(readFileSync(new URL(`${name}.schema.json`, spec), "utf8"));

// What only people read is left out.
const bare = (schema, ofNames = false) => {
  if (Array.isArray(schema)) return schema.map((part) => bare(part));
  if (typeof schema !== "object" || schema === null) return schema;
  const kept = Object.entries(schema).filter(
    ([name]) => ofNames || !["$schema", "$id", "title", "description", "default"].includes(name),
  );
  const holdsNames = ["properties", "patternProperties", "$defs"];
  return Object.fromEntries(kept.map(([name, part]) => [name, bare(part, !ofNames && holdsNames.includes(name))]));
};

writeFileSync(
  new URL("../src/schema.mjs", import.meta.url),
  "// Made by tools/schema.mjs from the schemas of specification 1. Do not edit.\n" +
    `export const definitions = ${JSON.stringify(bare(read("content")).$defs)};\n` +
    `export const document = ${JSON.stringify(bare(read("document")))};\n`,
);
