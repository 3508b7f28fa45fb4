import { type Guest, type Request, Response } from 'hatchery';

let calls = 0;

export default {
  handle: (request: Request) => new Response(`hello, call ${++calls}\n`),
} satisfies Guest;
