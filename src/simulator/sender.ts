import { setTimeout as sleep } from 'node:timers/promises';
import { type Redis, ReplyError } from 'ioredis';
import type { SimulatedEntry } from './entry.ts';
import { streamBacklog } from './stream-backlog.ts';

export interface SenderOptions {
  /** A new connection: RESP2, `lazyConnect`, no retries and no resends of its own. */
  readonly open: () => Redis;
  readonly stream: string;
  /** Called once with each entry that is in the stream. */
  readonly onSent: (entry: SimulatedEntry) => void;
  readonly signal: AbortSignal;
}

export interface Sender {
  /**
   * Connects for the first time; not needed before `send`.
   * @throws what Redis or the network said
   */
  connect(): Promise<void>;
  /**
   * Resolves when every entry is in the stream, exactly once, however often Redis goes away, or
   * when the signal aborts and no entry is in doubt.
   * @returns the entries that are not in the stream: none, unless the signal aborted
   * @throws SendError
   */
  send(entries: readonly SimulatedEntry[]): Promise<readonly SimulatedEntry[]>;
  /** Entries that the slowest group has before it; 0 once the signal aborts. @throws SendError */
  backlog(): Promise<number>;
  close(): void;
}

export type SendErrorCode = 'add_failed' | 'stuck' | 'in_doubt';

/** Entries that could not be added to the stream. */
export class SendError extends Error {
  override readonly name = 'SendError';
  readonly code: SendErrorCode;

  constructor(code: SendErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.code = code;
  }
}

const pauseMs = 50;
const stuckMs = 120_000;
/**
 * Replies of a Redis that starts, fails over or is full, or whose slot moves; any other refusal stays
 * one. A single server that is a node of a cluster was refused before.
 */
const transient =
  /^(LOADING|OOM|MISCONF|MASTERDOWN|READONLY|BUSY|MOVED|ASK|TRYAGAIN|CLUSTERDOWN|NOREPLICAS|UNBLOCKED)\b/;

interface Waiting {
  readonly entry: SimulatedEntry;
  readonly id: string;
  /** Sent, and the answer lost. */
  readonly isInDoubt: boolean;
}

/**
 * Adds entries under ids of its own. After a lost answer the same id is sent again: if the entry is
 * there, Redis refuses a second one, also when the first command still lay in its socket.
 */
export function createSender({ open, stream, onSent, signal }: SenderOptions): Sender {
  const nextId = createIds();
  let client: Redis | null = null;

  async function connected(): Promise<Redis> {
    if (client?.status === 'ready') return client;
    discard();
    const opened = open();
    client = opened;
    await opened.connect();
    return opened;
  }

  /** At once out of use: a client stays `ready` until a server that does not answer lets it go. */
  function discard(): void {
    client?.disconnect();
    client = null;
  }

  /** @returns the entries that are not known to be in the stream, in the order to send them */
  async function attempt(waiting: readonly Waiting[]): Promise<Waiting[]> {
    const redis = await connected();
    const pipeline = redis.pipeline();
    for (const { id, entry } of waiting) pipeline.call('XADD', stream, id, ...entry.fields);
    const answers = await pipeline.exec();
    const inDoubt: Waiting[] = [];
    const refused: Waiting[] = [];
    let failure: SendError | null = null;
    for (const [index, one] of waiting.entries()) {
      const outcome = await outcomeOf(redis, one, answers?.[index]?.[0]);
      if (outcome === 'sent') onSent(one.entry);
      else if (outcome === 'in_doubt') inDoubt.push({ ...one, isInDoubt: true });
      else if (outcome === 'refused') {
        refused.push({ entry: one.entry, id: nextId(), isInDoubt: false });
      } else failure ??= outcome;
    }
    // Only now: entries behind a refused one may be in the stream, and the ledger needs them.
    if (failure !== null) throw failure;
    return [...inDoubt, ...refused];
  }

  async function outcomeOf(
    redis: Redis,
    one: Waiting,
    error: Error | null | undefined,
  ): Promise<'sent' | 'in_doubt' | 'refused' | SendError> {
    if (error === null) return 'sent';
    if (error === undefined || !(error instanceof ReplyError)) return 'in_doubt';
    if (transient.test(error.message)) return 'refused';
    if (isTooSmall(error)) return await isThere(redis, one);
    const message = `Redis did not take an entry (${error.message})`;
    return new SendError('add_failed', message, { cause: error });
  }

  /**
   * A user without the right to read the stream takes "too small" for "there": entries go in the
   * order of their ids, so that holds as long as nothing else adds to the stream.
   */
  async function isThere(redis: Redis, { id, entry, isInDoubt }: Waiting) {
    try {
      const [found] = await redis.xrangeBuffer(stream, id, id);
      return found !== undefined && isSame(found[1], entry.fields) ? 'sent' : 'refused';
    } catch (error) {
      if (!(error instanceof ReplyError)) return 'in_doubt';
      return isInDoubt ? 'sent' : 'refused';
    }
  }

  /**
   * Repeats an action while Redis is away, until it returns 0 or the signal aborts.
   * @param action returns how much is left to do
   * @throws SendError `stuck` after 120 s without progress
   */
  async function persist(action: () => Promise<number>): Promise<void> {
    let fewest = Number.POSITIVE_INFINITY;
    let giveUpAt = performance.now() + stuckMs;
    for (;;) {
      let cause: unknown;
      try {
        const left = await action();
        if (left === 0) return;
        if (left < fewest) giveUpAt = performance.now() + stuckMs;
        fewest = Math.min(fewest, left);
      } catch (error) {
        if (error instanceof SendError || isRefusedLogin(error)) throw error;
        cause = error;
      }
      if (signal.aborted) return;
      if (performance.now() > giveUpAt) {
        throw new SendError('stuck', `Redis took nothing for ${stuckMs} ms`, { cause });
      }
      // Answers on a connection that lost some are not trusted.
      discard();
      await sleep(pauseMs);
    }
  }

  return {
    async connect() {
      await connected();
    },
    async send(entries) {
      let waiting: readonly Waiting[] = entries.map((entry) => ({
        entry,
        id: nextId(),
        isInDoubt: false,
      }));
      await persist(async () => {
        waiting = await attempt(waiting);
        return waiting.length;
      });
      const inDoubt = waiting.filter(({ isInDoubt }) => isInDoubt).length;
      if (inDoubt > 0) throw interrupted(inDoubt);
      return waiting.map(({ entry }) => entry);
    },
    async backlog() {
      let found = 0;
      await persist(async () => {
        found = await streamBacklog(await connected(), stream);
        return 0;
      });
      return found;
    },
    close: discard,
  };
}

function interrupted(inDoubt: number): SendError {
  const message = `interrupted while Redis was away; whether ${inDoubt} entries are in the stream is not known`;
  return new SendError('in_doubt', message);
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

function isSame(found: readonly Buffer[], fields: SimulatedEntry['fields']): boolean {
  return (
    found.length === fields.length &&
    found.every((value, index) => value.equals(Buffer.from(fields[index] ?? '')))
  );
}

function isTooSmall({ message }: Error): boolean {
  return message.includes('equal or smaller than the target stream top item');
}

function isRefusedLogin(error: unknown): boolean {
  return error instanceof Error && /^(WRONGPASS|NOAUTH|NOPERM)\b/.test(error.message);
}
