// The board in TypeScript: see ../README.md for what is said between processes.

import {
  AskError, type Guest, type Message, type Request, Response, askAgent, askApp, broadcast, environment, json, self, text,
} from 'hatchery';
import { type Note, Notes } from './notes.js';

const MAX_TEXT = 1000; // bytes
const TIMEOUT = 5; // seconds

class Board implements Guest {
  notes = new Notes();

  async start(): Promise<void> {
    if (self().role === 'worker') {
      this.notes.merge(json(await askAgent('list', null, TIMEOUT)));
      return;
    }
    try {
      for (const { data } of await askApp('list', null, TIMEOUT)) if (data) this.notes.merge(json(data));
    } catch (error) {
      // No worker is there yet, unless this agent is a replacement.
      if (!(error instanceof AskError)) throw error;
    }
  }

  async handle(request: Request): Promise<Response> {
    const path = request.url.replace(/^\w+:\/\/[^/]*/, '').split('?')[0];
    switch (`${request.method} ${path}`) {
      case 'GET /': return Response.json(this.notes.kept);
      case 'POST /': return this.post(new Uint8Array(await request.arrayBuffer()));
      case 'GET /where': return Response.json({ slot: self().slot, language: 'typescript' });
      case 'GET /fail': return fail();
    }
    return new Response('not found\n', { status: 404 });
  }

  async post(data: Uint8Array): Promise<Response> {
    if (data.length > MAX_TEXT) return new Response(`a note has at most ${MAX_TEXT} bytes\n`, { status: 413 });
    if (data.length === 0 || !isText(data)) return new Response('a note is text\n', { status: 400 });
    const note: Note = json(await askAgent('add', data, TIMEOUT));
    this.notes.add(note);
    return Response.json(note, { status: 201 });
  }

  onMessage(message: Message): void {
    switch (message.action) {
      case 'added': return this.notes.add(message.json());
      case 'drop': return this.notes.dropTo(message.json());
    }
  }

  onRequest(request: Message): unknown {
    switch (request.action) {
      case 'list': return this.notes.list();
      case 'add': return this.add(request.text());
    }
    throw new Error(`no answer to ${request.action}`);
  }

  add(text: string): Note {
    const note = this.notes.create(text, Date.now());
    broadcast('added', note);
    const surplus = this.notes.surplus();
    if (surplus !== undefined) broadcast('drop', surplus);
    return note;
  }

  runTask(name: string): void {
    if (name !== 'expire') throw new Error(`no task ${name}`);
    const keep = Number(environment().BOARD_KEEP ?? 600);
    const old = this.notes.older(Date.now() - keep * 1000);
    if (old !== undefined) broadcast('drop', old);
  }
}

export default new Board();

function isText(data: Uint8Array): boolean {
  try {
    text(data);
    return true;
  } catch {
    return false;
  }
}

function fail(): never {
  throw new Error('asked to fail');
}
