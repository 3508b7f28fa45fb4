// WASI 0.3 in QuickJS (componentize-qjs): many calls run at once. What the engine lacks is in web.js.

import { Fields, Request as Incoming, Response as Outgoing } from 'wasi:http/types@0.3.0';
import { writeViaStream } from 'wasi:cli/stderr@0.3.0';
import { Request, Response, decode, encode } from './web.js';

export { getEnvironment } from 'wasi:cli/environment@0.3.0';
export { app, processes, self } from 'hatchery:cluster/cluster@0.3.0';
export { broadcast, sendRandom, sendTo, sendToAgent, sendToApp } from 'hatchery:cluster/messenger@0.3.0';
export { ask, askAgent, askApp } from 'hatchery:cluster/requests@0.2.0'; // see world/0.3-js
export { Request, Response, decode, encode };

export const u64 = Number;

// The engine's names for the types of the streams and futures of the world's functions: that of stderr's
// stream comes before those of HTTP.
const BODY = wit.Stream.U8_2;
const LOG = wit.Stream.U8;
const DONE = wit.Future.RESULT_VOID_WASI_HTTP_TYPES_0_3_0_ERROR_CODE;
const TRAILERS = wit.Future.RESULT_OPTION_OTHER_ERROR_CODE;

export const http = (handle) => ({
  handler: { handle: async (incoming) => outgoingOf(await handle(await requestOf(incoming))) },
});

async function requestOf(incoming) {
  const { tag, val } = incoming.getMethod();
  const method = tag === 'other' ? val : tag.toUpperCase();
  const headers = incoming.getHeaders().copyAll().map(([name, value]) => [name, String.fromCharCode(...value)]);
  const url = `http://${incoming.getAuthority() ?? 'localhost'}${incoming.getPathWithQuery() ?? '/'}`;
  return new Request(url, { method, headers, body: await bodyOf(incoming) });
}

async function bodyOf(incoming) {
  const done = wit.Future.from({ tag: 'ok' }, DONE);
  const [body, trailers] = Incoming.consumeBody(incoming, done.readable);
  const parts = [];
  for await (const part of body) parts.push(part);
  trailers.drop();
  if (parts.length === 1) return parts[0];
  const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return all;
}

async function outgoingOf(response) {
  const data = await response.bytes();
  const headers = [...response.headers].map(([name, value]) => [name, encode(value)]);
  const trailers = wit.Future.from({ tag: 'ok', val: null }, TRAILERS);
  // A write of nothing would wait for a reader that may not come.
  const body = data.length > 0 ? wit.Stream.from([data], BODY).readable : null;
  const [outgoing, sent] = Outgoing.new(Fields.fromList(headers), body, trailers.readable);
  sent.drop();
  outgoing.setStatusCode(response.status);
  return outgoing;
}

const print = (...words) => {
  writeViaStream(wit.Stream.from([encode(`${words.map(String).join(' ')}\n`)], LOG).readable).drop();
};
globalThis.console ??= { log: print, info: print, warn: print, error: print, debug: print };
