// WASI 0.2 in StarlingMonkey (componentize-js), which has Request and Response of its own. Imports block.

import { Fields, OutgoingBody, OutgoingResponse, ResponseOutparam } from 'wasi:http/types@0.2.10';

export { getEnvironment } from 'wasi:cli/environment@0.2.10';
export { app, processes, self } from 'hatchery:cluster/cluster@0.2.0';
export { broadcast, sendRandom, sendTo, sendToAgent, sendToApp } from 'hatchery:cluster/messenger@0.2.0';
export { ask, askAgent, askApp } from 'hatchery:cluster/requests@0.2.0';

export const Request = globalThis.Request;
export const Response = globalThis.Response;
export const u64 = BigInt;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true });
export const encode = (text) => encoder.encode(text);
export const decode = (data) => decoder.decode(data);

const MAX_READ = 65536n;
const MAX_WRITE = 4096; // what wasi:io takes in one blocking write

export const http = (handle) => ({
  incomingHandler: {
    handle: async (incoming, out) => {
      const request = requestOf(incoming);
      // Left to the collector, handles would reach their limit first.
      incoming[Symbol.dispose]();
      await send(await handle(request), out);
    },
  },
});

function requestOf(incoming) {
  const { tag, val } = incoming.method();
  const method = tag === 'other' ? val : tag.toUpperCase();
  const fields = incoming.headers();
  const headers = fields.entries().map(([name, value]) => [name, String.fromCharCode(...value)]);
  fields[Symbol.dispose]();
  const url = `http://${incoming.authority() ?? 'localhost'}${incoming.pathWithQuery() ?? '/'}`;
  const body = method === 'GET' || method === 'HEAD' ? undefined : bodyOf(incoming);
  return new Request(url, { method, headers, body });
}

function bodyOf(incoming) {
  const body = incoming.consume();
  const stream = body.stream();
  const parts = [];
  try {
    for (;;) parts.push(stream.blockingRead(MAX_READ));
  } catch (error) {
    if (error?.payload?.tag !== 'closed') throw error;
  } finally {
    stream[Symbol.dispose]();
    body[Symbol.dispose]();
  }
  const all = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  parts.reduce((at, part) => (all.set(part, at), at + part.length), 0);
  return all;
}

async function send(response, out) {
  const data = new Uint8Array(await response.arrayBuffer());
  const headers = [...response.headers].map(([name, value]) => [name, encode(value)]);
  const outgoing = new OutgoingResponse(Fields.fromList(headers));
  outgoing.setStatusCode(response.status);
  const body = outgoing.body();
  ResponseOutparam.set(out, { tag: 'ok', val: outgoing });
  const stream = body.write();
  for (let at = 0; at < data.length; at += MAX_WRITE) stream.blockingWriteAndFlush(data.subarray(at, at + MAX_WRITE));
  stream[Symbol.dispose]();
  OutgoingBody.finish(body, undefined);
}
