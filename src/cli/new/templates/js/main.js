// Answers with how often it was called. The module lives as long as its process: what it holds stays from
// request to request.

// {{#agent}}
import { Response, askAgent, json } from './hatchery/index.js';
// {{/agent}}
// {{^agent}}
import { Response } from './hatchery/index.js';
// {{/agent}}

let calls = 0;

export default {
  async handle(request) {
// {{#agent}}
    // The agent counts for all workers.
    const count = json(await askAgent('call', null, 5));
    return new Response(`hello, call ${count}\n`);
  },

  // Only the agent is asked.
  onRequest(request) {
    calls += 1;
    return calls;
  },
// {{/agent}}
// {{^agent}}
    calls += 1;
    return new Response(`hello, call ${calls}\n`);
  },
// {{/agent}}
};
