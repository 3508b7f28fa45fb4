// strip-types.mjs MODULES FROM TO: each .ts of the folder FROM as .js in TO, its types blanked out, so that
// every line and column stays where it is. MODULES is the node_modules with ts-blank-space.

import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, from, to] = process.argv.slice(2);
const { default: blank } = await import(pathToFileURL(join(modules, 'ts-blank-space/out/index.js')));

for (const name of readdirSync(from).filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'))) {
  const fail = (node) => {
    throw new Error(`${name}: \`${node.getText()}\` can't be left out; write it without enum, namespace or parameter properties`);
  };
  writeFileSync(join(to, name.replace(/ts$/, 'js')), blank(readFileSync(join(from, name), 'utf8'), fail));
}
