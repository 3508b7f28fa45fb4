// What the component exports, made of main.js.
import guest from './main.js';
import { component } from './hatchery/index.js';

export const { lifecycle, receiver, responder, task, incomingHandler } = component(guest);
