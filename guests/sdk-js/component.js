// Makes a component's exports of the guest's one object. What a method throws is printed with its stack;
// for a request it is also a 500, for a question and a task the other side hears its text.

import * as host from './host.js';
import { data, messageOf, processOf } from './index.js';
import { handed } from './live.js';

export function component(built) {
  let guest = built;
  const optional = async (name, ...given) => guest[name]?.(...given);
  const told = (name, ...given) => toldOf(() => guest[name](...given));
  const toldOf = async (what) => {
    try {
      return await what();
    } catch (error) {
      print(error);
      throw String(error);
    }
  };
  const handle = async (request) => {
    if (!guest.handle) return new host.Response('not found\n', { status: 404 });
    try {
      return await guest.handle(request);
    } catch (error) {
      print(error);
      return new host.Response('the guest failed on this request; its log says why\n', { status: 500 });
    }
  };
  return {
    lifecycle: {
      start: async () => {
        guest = (await toldOf(handed)) ?? built;
        if (guest.start) await told('start');
      },
      clusterReady: async () => { await optional('clusterReady'); },
      processesChanged: async (processes) => { await optional('processesChanged', processes.map(processOf)); },
      stop: async () => { await optional('stop'); },
    },
    receiver: {
      onMessage: async (message) => { await optional('onMessage', messageOf(message)); },
    },
    responder: {
      onRequest: async (message) => {
        if (!guest.onRequest) throw `no answer to \`${message.action}\``;
        return data(await told('onRequest', messageOf(message)));
      },
    },
    task: {
      run: async (name, payload) => {
        if (!guest.runTask) throw `no task \`${name}\``;
        await told('runTask', name, payload ?? undefined);
      },
    },
    ...host.http(handle),
  };
}

// The stack has the places, with some engines without the words before it.
function print(error) {
  const stack = error?.stack ?? '';
  console.error(stack.includes(String(error)) ? stack : `${error}\n${stack}`);
}
