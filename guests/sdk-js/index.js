// What a guest imports as 'hatchery'. `host.js` is that of the WASI it is built for.

import * as host from './host.js';

export { component } from './component.js';

/** Those of the engine where it has them. */
export const { Request, Response } = host;

/** What the manifest's `environment` says, by name. Call it in a handler or in `start`. */
export const environment = () => Object.fromEntries(host.getEnvironment());

/** The message was refused; the text says why. */
export class SendError extends Error {}

/** There is no answer; the text says why. */
export class AskError extends Error {}

// Send and forget: a value goes as JSON, a Uint8Array as it is.
export const broadcast = (action, value) => send(host.broadcast, action, data(value));
export const sendToApp = (action, value) => send(host.sendToApp, action, data(value));
export const sendToAgent = (action, value) => send(host.sendToAgent, action, data(value));
export const sendRandom = (action, value) => send(host.sendRandom, action, data(value));
export const sendTo = (pid, action, value) => send(host.sendTo, host.u64(pid), action, data(value));

// Ask and wait: the answer is a Uint8Array; `text` and `json` read it.
export const askAgent = (action, value, seconds = 0) => question(host.askAgent, action, data(value), nanos(seconds));
export const ask = (pid, action, value, seconds = 0) =>
  question(host.ask, host.u64(pid), action, data(value), nanos(seconds));
export async function askApp(action, value, seconds = 0) {
  const answers = await question(host.askApp, action, data(value), nanos(seconds));
  return answers.map(({ pid, result }) =>
    result.tag === 'ok' ? { pid: Number(pid), data: bytes(result.val) } : { pid: Number(pid), error: reason(result.val) });
}

export const self = () => processOf(host.self());
export const processes = () => host.processes().map(processOf);
export const app = () => host.app();

export const text = (data) => host.decode(bytes(data));
export const json = (data) => JSON.parse(text(data));

/** Bytes as they are, everything else as JSON. */
export function data(value) {
  return value instanceof Uint8Array ? value : host.encode(JSON.stringify(value ?? null));
}

export function processOf({ pid, role, slot, generation, state }) {
  return { pid: Number(pid), role, slot, generation: Number(generation), state };
}

export function messageOf({ action, data, sender }) {
  const { pid, role, slot } = sender;
  data = bytes(data);
  return { action, data, sender: { pid: Number(pid), role, slot }, text: () => text(data), json: () => json(data) };
}

function send(how, ...given) {
  try {
    how(...given);
  } catch (error) {
    throw new SendError(reason(error));
  }
}

async function question(how, ...given) {
  try {
    return await how(...given);
  } catch (error) {
    throw new AskError(reason(error));
  }
}

const bytes = (data) => (data instanceof Uint8Array ? data : new Uint8Array(data));

/** A WIT variant as text: `too-large: 1048576`. */
function reason(error) {
  const { tag, val } = error?.payload ?? error;
  return tag === undefined ? String(error) : val === undefined ? tag : `${tag}: ${val}`;
}

const nanos = (seconds) => host.u64(Math.min(Math.round(seconds * 1e9), Number.MAX_SAFE_INTEGER));
