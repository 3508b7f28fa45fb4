// live.mjs [FILE...]: what `hatchery dev` hands to the guest in place of a build (`live-command`). Prints the
// modules that main.js is made of as one JSON object: by name, the text of a function (exports, need) that does what
// the module does. Every line stays where it is, so that a traceback is right.
//
// A module with something that this does not know (export from, import(), import.meta, await at its top) fails with
// exit code 3, which lets `hatchery dev` build.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { init, parse } = await import(pathToFileURL('node_modules/es-module-lexer/dist/lexer.js'));
await init;

const SDK = 'hatchery/index.js';
const modules = {};
add('main.js');
process.stdout.write(JSON.stringify(modules));

function add(name) {
  if (name === SDK || name in modules) return;
  modules[name] = '';
  const text = readFileSync(name, 'utf8');
  const [imports, exports] = parse(text, name);
  const edits = [];
  for (const { n, ss, se, d } of imports) {
    if (d !== -1 || !n?.startsWith('.') || !text.slice(ss).startsWith('import')) build(`${name}: ${text.slice(ss, se)}`);
    const from = join(dirname(name), n);
    add(from);
    edits.push([ss, se, same(text.slice(ss, se), bindings(text.slice(ss, se), from))]);
  }
  const getters = [];
  for (const { n, s, ln } of exports) {
    const at = text.lastIndexOf('export', s - 1);
    const isDefault = n === 'default' && ln === undefined;
    const word = /^export(\s+default)?\s+/.exec(text.slice(at));
    if (!word || (!word[1] && /^[{*]/.test(text.slice(at + word[0].length)))) build(`${name}: ${text.slice(at, s)}`);
    if (n === 'default' && !isDefault) getters.push(`exports.default = ${ln};`);
    else if (!isDefault) getters.push(`Object.defineProperty(exports, '${n}', { get: () => ${ln} });`);
    // One `export` may be that of several names.
    if (edits.some(([from]) => from === at)) continue;
    edits.push([at, at + word[0].length, same(word[0], isDefault ? 'exports.default = ' : '')]);
  }
  let made = '';
  let end = 0;
  for (const [from, to, by] of edits.sort(([one], [other]) => one - other)) {
    made += text.slice(end, from) + by;
    end = to;
  }
  modules[name] = `(function (exports, need) { 'use strict'; ${made}${text.slice(end)}\n${getters.join('\n')}\n})`;
}

// `import a, { b as c } from`, `import * as d from`, `import`: the names of another module.
function bindings(statement, from) {
  const need = `need('${from}')`;
  const clause = /^import\s*([^'"]*?)\s*(from\s*)?['"]/.exec(statement)?.[1] ?? '';
  if (clause === '') return `${need};`;
  const parts = /^(?:([\w$]+)\s*,?\s*)?(?:\*\s*as\s+([\w$]+)|\{([^{}]*)\})?$/.exec(clause);
  if (!parts) build(statement);
  const [, one, all, some] = parts;
  const names = [one && `default: ${one}`, some?.replace(/\s+as\s+/g, ': ').replace(/\s+/g, ' ')].filter(Boolean);
  const made = names.length > 0 ? [`{ ${names.join(', ')} } = ${need}`] : [];
  if (all) made.push(`${all} = ${need}`);
  return `const ${made.join(', ')};`;
}

// As many lines as before.
function same(before, after) {
  return after + '\n'.repeat(before.split('\n').length - after.split('\n').length);
}

function build(what) {
  console.error(`not live, so it is built: ${what.trim().split('\n')[0]}`);
  process.exit(3);
}
