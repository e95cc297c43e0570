/** A WebSocket client of Directus that subscribes to the updates of one collection. */
export interface Subscriber {
  /** Keys of the items that an `update` named, since the subscription. */
  readonly updated: ReadonlySet<string>;
  close(): void;
}

interface Message {
  readonly type?: unknown;
  readonly event?: unknown;
  readonly status?: unknown;
  readonly data?: unknown;
}

const SUBSCRIBE_MS = 60_000;

/** @throws when Directus does not confirm the subscription */
export async function subscribe(
  url: string,
  token: string,
  collection: string,
): Promise<Subscriber> {
  const updated = new Set<string>();
  const subscribed = Promise.withResolvers<void>();
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/websocket`);
  const send = (message: object) => socket.send(JSON.stringify(message));

  const answers: Readonly<Record<string, (message: Message) => void>> = {
    auth({ status }) {
      if (status !== 'ok') subscribed.reject(new Error('Directus refused the token'));
      const query = { fields: ['id'] };
      send({ type: 'subscribe', collection, event: 'update', query, uid: 'records' });
    },
    ping: () => send({ type: 'pong' }),
    subscription({ event, data }) {
      if (event === 'init') subscribed.resolve();
      if (event === 'update') for (const id of idsOf(data)) updated.add(id);
    },
  };
  socket.addEventListener('open', () => send({ type: 'auth', access_token: token }));
  socket.addEventListener('message', ({ data }) => {
    const message: Message = JSON.parse(String(data));
    answers[String(message.type)]?.(message);
  });
  socket.addEventListener('error', () => subscribed.reject(new Error('no WebSocket connection')));
  socket.addEventListener('close', () => subscribed.reject(new Error('the WebSocket was closed')));
  const late = setTimeout(() => subscribed.reject(new Error('no subscription')), SUBSCRIBE_MS);
  try {
    await subscribed.promise;
  } finally {
    clearTimeout(late);
  }
  return { updated, close: () => socket.close() };
}

function idsOf(data: unknown): string[] {
  if (!Array.isArray(data)) return [];
  return data.map((item: { readonly id: unknown }) => String(item.id));
}
