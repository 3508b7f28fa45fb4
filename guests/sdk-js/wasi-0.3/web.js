// As much of Request, Response, Headers and text encoding as QuickJS lacks and a guest needs.

// encodeURIComponent is the engine's own UTF-8; a lone surrogate becomes U+FFFD.
export function encode(text) {
  const escaped = unescape(encodeURIComponent(String(text).replace(/[\uD800-\uDFFF]/gu, '\uFFFD')));
  return Uint8Array.from(escaped, (character) => character.charCodeAt(0));
}

/** Throws where the data is not UTF-8. */
export function decode(data) {
  let escaped = '';
  for (let at = 0; at < data.length; at += 4096) escaped += String.fromCharCode(...data.subarray(at, at + 4096));
  return decodeURIComponent(escape(escaped));
}

class Headers {
  #all = [];

  constructor(given = []) {
    for (const [name, value] of Symbol.iterator in given ? given : Object.entries(given)) this.append(name, value);
  }

  append(name, value) { this.#all.push([name.toLowerCase(), String(value)]); }
  delete(name) { this.#all = this.#all.filter(([other]) => other !== name.toLowerCase()); }
  set(name, value) { this.delete(name); this.append(name, value); }
  has(name) { return this.get(name) !== null; }
  get(name) {
    const found = this.#all.filter(([other]) => other === name.toLowerCase()).map(([, value]) => value);
    return found.length > 0 ? found.join(', ') : null;
  }
  [Symbol.iterator]() { return this.#all[Symbol.iterator](); }
}

class Body {
  #data;

  constructor(body, headers) {
    this.headers = new Headers(headers);
    this.#data = body instanceof Uint8Array ? body : encode(body ?? '');
    if (typeof body === 'string' && !this.headers.has('content-type')) {
      this.headers.set('content-type', 'text/plain;charset=UTF-8');
    }
  }

  async bytes() { return this.#data; }
  async arrayBuffer() { return this.#data.slice().buffer; }
  async text() { return decode(this.#data); }
  async json() { return JSON.parse(await this.text()); }
}

export class Request extends Body {
  constructor(url, { method = 'GET', headers, body } = {}) {
    super(body, headers);
    this.url = url;
    this.method = method;
  }
}

export class Response extends Body {
  constructor(body, { status = 200, headers } = {}) {
    super(body, headers);
    this.status = status;
  }

  static json(value, given = {}) {
    const headers = new Headers(given.headers);
    headers.set('content-type', 'application/json');
    return new Response(JSON.stringify(value), { ...given, headers });
  }
}
