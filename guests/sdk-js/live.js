// `hatchery dev` hands modules to a component that was built before, see live.mjs: they are run at the start, in
// place of those that were built in. `component` calls this; a guest has nothing to do with it.

import * as sdk from './index.js';

/** The guest of the modules that were handed over; undefined where none were. */
export function handed() {
  const text = sdk.environment().HATCHERY_LIVE;
  if (text === undefined) return undefined;
  const modules = JSON.parse(text);
  const made = { 'hatchery/index.js': sdk };
  const need = (name) => {
    if (name in made) return made[name];
    if (!(name in modules)) throw new Error(`needs a build: there is no ${name}`);
    const exports = (made[name] = {});
    // Not in this module's scope. The name is what a traceback shows.
    (0, eval)(`${modules[name]}\n//# sourceURL=${name}`)(exports, need);
    return exports;
  };
  return need('main.js').default;
}
