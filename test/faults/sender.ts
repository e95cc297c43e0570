import { setTimeout as sleep } from 'node:timers/promises';
import { Redis, ReplyError } from 'ioredis';
import type { SimulatedEntry } from '../../src/simulator/entry.ts';

export interface SenderOptions {
  /** Of Redis itself: what stands between it and the service must not stand in our way. */
  readonly url: string;
  readonly stream: string;
  /** Called once with each entry that is in the stream. */
  readonly onSent: (entry: SimulatedEntry) => void;
  readonly signal: AbortSignal;
}

export interface Sender {
  /**
   * Resolves when every entry is in the stream, exactly once, however often Redis goes away.
   * @throws when Redis takes nothing for 120 s, or the signal aborts
   */
  send(entries: readonly SimulatedEntry[]): Promise<void>;
  close(): void;
}

const COMMAND_TIMEOUT_MS = 1_500;
const PAUSE_MS = 50;
const STUCK_MS = 120_000;

interface Waiting {
  readonly entry: SimulatedEntry;
  readonly id: string;
}

/**
 * Adds entries under ids of its own. After a lost answer the same id is sent again: if the entry
 * is there, Redis refuses a second one, also when the first command still lay in its socket. So
 * the ledger is exact, and no tolerance for "perhaps sent twice" is needed.
 */
export function createSender({ url, stream, onSent, signal }: SenderOptions): Sender {
  const nextId = createIds();
  let client: Redis | null = null;

  async function connected(): Promise<Redis> {
    if (client?.status === 'ready') return client;
    discard();
    const opened = openClient(url);
    client = opened;
    await opened.connect();
    return opened;
  }

  /** At once out of use: a client stays `ready` until a server that stands still lets it go. */
  function discard(): void {
    client?.disconnect();
    client = null;
  }

  /** Those whose place in the stream is not certain or that were refused, in the order to send. */
  async function attempt(waiting: readonly Waiting[]): Promise<Waiting[]> {
    const redis = await connected();
    const pipeline = redis.pipeline();
    for (const { id, entry } of waiting) pipeline.call('XADD', stream, id, ...entry.fields);
    const answers = await pipeline.exec();
    const unknown: Waiting[] = [];
    const refused: Waiting[] = [];
    for (const [place, one] of waiting.entries()) {
      const error = answers?.[place]?.[0];
      if (error === null) onSent(one.entry);
      else if (error === undefined || !(error instanceof ReplyError)) unknown.push(one);
      else if (!isTooSmall(error)) refused.push(one);
      else {
        const there = await isThere(redis, one.id);
        if (there) onSent(one.entry);
        else (there === null ? unknown : refused).push(one);
      }
    }
    return [...unknown, ...refused.map(({ entry }) => ({ entry, id: nextId() }))];
  }

  /** null: Redis has gone again; what was found so far must still count. */
  async function isThere(redis: Redis, id: string): Promise<boolean | null> {
    return await redis.xrange(stream, id, id).then(
      (found) => found.length > 0,
      () => null,
    );
  }

  return {
    async send(entries) {
      let waiting: readonly Waiting[] = entries.map((entry) => ({ entry, id: nextId() }));
      let giveUpAt = performance.now() + STUCK_MS;
      while (waiting.length > 0) {
        signal.throwIfAborted();
        const before = waiting.length;
        try {
          waiting = await attempt(waiting);
        } catch (cause) {
          if (performance.now() > giveUpAt) {
            throw new Error(`Redis took nothing for ${STUCK_MS} ms`, { cause });
          }
        }
        if (waiting.length < before) giveUpAt = performance.now() + STUCK_MS;
        if (waiting.length === 0) return;
        if (performance.now() > giveUpAt) throw new Error(`Redis took nothing for ${STUCK_MS} ms`);
        // Answers on a connection that lost some are not trusted.
        discard();
        await sleep(PAUSE_MS);
      }
    },
    close: discard,
  };
}

/** Ids as Redis makes them for `*`, ascending. */
function createIds(): () => string {
  let ms = 0;
  let sequence = 0;
  return () => {
    const now = Date.now();
    sequence = now > ms ? 0 : sequence + 1;
    ms = Math.max(ms, now);
    return `${ms}-${sequence}`;
  };
}

function isTooSmall(error: { readonly message: string }): boolean {
  return error.message.includes('equal or smaller than the target stream top item');
}

function openClient(url: string): Redis {
  const client = new Redis(url, {
    connectionName: 'faults:feeder',
    protocol: 2,
    lazyConnect: true,
    connectTimeout: COMMAND_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  // A connection that breaks also rejects its commands; unheard, ioredis prints the event.
  client.on('error', () => {});
  return client;
}
