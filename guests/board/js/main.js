// The board in JavaScript: see ../README.md for what is said between processes.

import { AskError, Response, askAgent, askApp, broadcast, environment, json, self, text } from 'hatchery';
import { Notes } from './notes.js';

const MAX_TEXT = 1000; // bytes
const TIMEOUT = 5; // seconds

const notes = new Notes();

export default {
  async start() {
    if (self().role === 'worker') {
      notes.merge(json(await askAgent('list', null, TIMEOUT)));
      return;
    }
    try {
      for (const { data } of await askApp('list', null, TIMEOUT)) if (data) notes.merge(json(data));
    } catch (error) {
      // No worker is there yet, unless this agent is a replacement.
      if (!(error instanceof AskError)) throw error;
    }
  },

  async handle(request) {
    const path = request.url.replace(/^\w+:\/\/[^/]*/, '').split('?')[0];
    switch (`${request.method} ${path}`) {
      case 'GET /': return Response.json(notes.kept);
      case 'POST /': return post(new Uint8Array(await request.arrayBuffer()));
      case 'GET /where': return Response.json({ slot: self().slot, language: 'javascript' });
      case 'GET /fail': return fail();
    }
    return new Response('not found\n', { status: 404 });
  },

  onMessage(message) {
    switch (message.action) {
      case 'added': return notes.add(message.json());
      case 'drop': return notes.dropTo(message.json());
    }
  },

  onRequest(request) {
    switch (request.action) {
      case 'list': return { last: notes.last, notes: notes.kept };
      case 'add': return add(request.text());
    }
    throw new Error(`no answer to ${request.action}`);
  },

  runTask(name) {
    if (name !== 'expire') throw new Error(`no task ${name}`);
    const keep = Number(environment().BOARD_KEEP ?? 600);
    const old = notes.older(Date.now() - keep * 1000);
    if (old !== undefined) broadcast('drop', old);
  },
};

async function post(data) {
  if (data.length > MAX_TEXT) return new Response(`a note has at most ${MAX_TEXT} bytes\n`, { status: 413 });
  if (data.length === 0 || !isText(data)) return new Response('a note is text\n', { status: 400 });
  const note = json(await askAgent('add', data, TIMEOUT));
  notes.add(note);
  return Response.json(note, { status: 201 });
}

function isText(data) {
  try {
    text(data);
    return true;
  } catch {
    return false;
  }
}

function add(text) {
  const note = notes.create(text, Date.now());
  broadcast('added', note);
  const surplus = notes.surplus();
  if (surplus !== undefined) broadcast('drop', surplus);
  return note;
}

function fail() {
  throw new Error('asked to fail');
}
