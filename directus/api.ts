export interface Answer {
  readonly status: number;
  /** The parsed body; null when it is empty. */
  readonly body: unknown;
}

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/** Directus' REST API as its administrator. */
export interface Api {
  readonly url: string;
  readonly token: string;
  ask(method: Method, path: string, body?: unknown): Promise<Answer>;
  /** The field `data` of the answer. @throws when Directus refuses */
  data(method: Method, path: string, body?: unknown): Promise<unknown>;
}

const TIMEOUT_MS = 120_000;
const SHOWN_CHARACTERS = 500;

export function directusApi(url: string, token: string): Api {
  async function ask(method: Method, path: string, body?: unknown): Promise<Answer> {
    const response = await fetch(url + path, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? null : JSON.parse(text) };
  }

  async function data(method: Method, path: string, body?: unknown): Promise<unknown> {
    const answer = await ask(method, path, body);
    if (answer.status < 300) return dataOf(answer.body);
    throw new Error(`${method} ${path}: ${answer.status} ${shown(answer.body)}`);
  }

  return { url, token, ask, data };
}

function dataOf(body: unknown): unknown {
  return typeof body === 'object' && body !== null && 'data' in body ? body.data : null;
}

export function shown(body: unknown): string {
  return JSON.stringify(body).slice(0, SHOWN_CHARACTERS);
}
