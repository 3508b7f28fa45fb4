/** Guests of Hatchery in JavaScript and TypeScript. See README.md. */

export type Role = 'agent' | 'worker';
export type State = 'starting' | 'ready' | 'draining';

export interface Process {
  /** The cluster's id, never reused while the cluster lives. Not the system's pid. */
  pid: number;
  role: Role;
  /** A worker's place, 0..N-1, which outlives the processes that fill it. 0 for the agent. */
  slot: number;
  /** The deployed version of the app, counted from 1. */
  generation: number;
  state: State;
}

export interface Message {
  action: string;
  /** What the sender gave, often JSON. Check it: the sender may be another version of the app. */
  data: Uint8Array;
  /** Who sent it, as the master stamped it. */
  sender: { pid: number; role: Role; slot: number };
  text(): string;
  json(): any;
}

export interface Headers extends Iterable<[string, string]> {
  get(name: string): string | null;
  has(name: string): boolean;
  set(name: string, value: string): void;
  append(name: string, value: string): void;
  delete(name: string): void;
}

interface Body {
  readonly headers: Headers;
  arrayBuffer(): Promise<ArrayBuffer>;
  text(): Promise<string>;
  json(): Promise<any>;
}

/** The engine's own on WASI 0.2, as much of it as is here on 0.3. */
export interface Request extends Body {
  readonly method: string;
  readonly url: string;
}

export interface ResponseInit {
  status?: number;
  headers?: Record<string, string> | Iterable<[string, string]>;
}

export declare class Response implements Body {
  constructor(body?: string | Uint8Array | null, init?: ResponseInit);
  static json(value: unknown, init?: ResponseInit): Response;
  readonly status: number;
  readonly headers: Headers;
  arrayBuffer(): Promise<ArrayBuffer>;
  text(): Promise<string>;
  json(): Promise<any>;
}

/** What a guest's main module exports as `default`. Everything in it may be missing. */
export interface Guest {
  handle?(request: Request): Response | Promise<Response>;
  start?(): void | Promise<void>;
  clusterReady?(): void | Promise<void>;
  processesChanged?(processes: Process[]): void | Promise<void>;
  stop?(): void | Promise<void>;
  onMessage?(message: Message): void | Promise<void>;
  /** The answer: a Uint8Array as it is, everything else as JSON. */
  onRequest?(message: Message): unknown;
  runTask?(name: string, payload?: Uint8Array): void | Promise<void>;
}

/** The message was refused; the text says why. */
export declare class SendError extends Error {}
/** There is no answer; the text says why. */
export declare class AskError extends Error {}

// Send and forget: a value goes as JSON, a Uint8Array as it is.
export declare function broadcast(action: string, value?: unknown): void;
export declare function sendToApp(action: string, value?: unknown): void;
export declare function sendToAgent(action: string, value?: unknown): void;
export declare function sendRandom(action: string, value?: unknown): void;
export declare function sendTo(pid: number, action: string, value?: unknown): void;

// Ask and wait. A timeout of 0 is the app's `request-timeout`.
export declare function askAgent(action: string, value?: unknown, seconds?: number): Promise<Uint8Array>;
export declare function ask(pid: number, action: string, value?: unknown, seconds?: number): Promise<Uint8Array>;
export interface Answer {
  pid: number;
  /** Missing where there is an error. */
  data?: Uint8Array;
  error?: string;
}
export declare function askApp(action: string, value?: unknown, seconds?: number): Promise<Answer[]>;

export declare function self(): Process;
export declare function processes(): Process[];
export declare function app(): { name: string; version: string };
export declare function environment(): Record<string, string>;
export declare function text(data: Uint8Array): string;
export declare function json(data: Uint8Array): any;
