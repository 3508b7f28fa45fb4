import { Response } from 'hatchery';

let calls = 0;

export default {
  handle: () => new Response(`hello, call ${++calls}\n`),
};
