/**
 * One case of the fault suite: real servers, real processes, a fleet with real habits, and a
 * ledger that knows every record. Whatever a case does meanwhile, at its end nothing may be lost
 * and nothing doubled.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { expect, onTestFailed, onTestFinished } from 'vitest';
import type { FeedTotals } from '../../src/simulator/feed.ts';
import { createFleet, type FleetForm } from '../../src/simulator/fleet.ts';
import { type Habits, realHabits } from '../../src/simulator/habits.ts';
import { createLedger, type Ledger } from '../../src/simulator/ledger.ts';
import {
  checkLedger,
  formatCheck,
  isClean,
  type LedgerCheck,
} from '../../src/simulator/ledger-check.ts';
import { createLedgerSource } from '../../src/simulator/ledger-source.ts';
import { createRandom, type Random } from '../../src/simulator/random.ts';
import { groupBacklogs } from '../../src/simulator/stream-backlog.ts';
import { type LocalServer, startPostgres, startRedis } from '../../tools/servers/servers.ts';
import type { RunningService } from '../../tools/service.ts';
import { freshDatabase } from '../setup/database.ts';
import { feedFleet } from './feeding.ts';
import { createInstances } from './instances.ts';
import { seed } from './mode.ts';
import { createSender } from './sender.ts';

export { eventually } from '../../tools/service.ts';
export { isFull, report, seed, testLimitMs, times } from './mode.ts';

export const stream = 'telemetry:teltonika';
export const deadLetterKey = `${stream}:dlq`;
export const group = 'processor';

/** Short, so that a case sees a takeover; nested as the configuration demands. */
export const shortTimes = {
  CLAIM_THRESHOLD_MS: '1500',
  CLAIM_INTERVAL_MS: '300',
  DRAIN_BUDGET_MS: '1400',
  INSERT_DEADLINE_MS: '1300',
  STATEMENT_TIMEOUT_MS: '1200',
  LOCK_TIMEOUT_MS: '500',
  READ_BLOCK_MS: '200',
} as const;

export interface ScenarioOptions {
  readonly seed: number;
  /** Fed from the start on; 0: nothing before `feed` is called. */
  readonly records: number;
  /** Records a second; null (default): flat out. */
  readonly rate?: number | null;
  readonly form?: FleetForm;
  readonly devices?: number;
  /** `realHabits` by default. */
  readonly habits?: Habits;
  /** The configuration's own times instead of `shortTimes`. */
  readonly defaultTimes?: boolean;
  /** Of every instance, above the times. */
  readonly env?: Readonly<Record<string, string>>;
  /** A server of the case's own, to be harmed; else a fresh database of the suite's server. */
  readonly ownPostgres?: boolean;
  /** A database that the case harms itself; its URL is read again for each use. */
  readonly givenPostgres?: { readonly url: string };
  /** What the instances get instead of the server's own URL, a proxy's for example. */
  readonly redisUrlFor?: (server: LocalServer) => string | Promise<string>;
  readonly postgresUrlFor?: (url: string) => string | Promise<string>;
  /** Further arguments of redis-server. */
  readonly redisArgs?: readonly string[];
}

export interface Backlog {
  /** Entries after the group's last delivered one, counted. */
  readonly undelivered: number;
  readonly pending: number;
}

export interface Scenario {
  readonly redis: LocalServer;
  /** Straight to the server; reconnects. */
  readonly client: Redis;
  readonly postgres: { readonly url: string; readonly server: LocalServer | null };
  readonly ledger: Ledger;
  readonly random: Random;
  /** What `records` asked for. */
  readonly feeding: Promise<FeedTotals>;
  /** Feeds on, after what is being fed. */
  feed(records: number, rate?: number | null): Promise<FeedTotals>;
  /** Ends all feeding; what is under way is sent. */
  stopFeeding(): Promise<void>;
  /** `name` becomes CONSUMER_NAME. */
  start(name: string, env?: Readonly<Record<string, string>>): RunningService;
  backlog(): Promise<Backlog>;
  /** Waits until nothing is undelivered and nothing pending. */
  untilSettled(): Promise<void>;
  /** Entries that the consumer holds. */
  pendingOf(consumer: string): Promise<number>;
  /**
   * Waits for the feeding's end and until nothing is undelivered or pending, ends every instance
   * with SIGTERM and asserts that each exits with 0, that each one's account adds up, and that
   * the ledger is clean.
   */
  finish(): Promise<LedgerCheck>;
  /** Safe twice; a scenario opened in a test closes itself when the test ends. */
  close(): Promise<void>;
}

/** So long may nothing move before `finish` gives up; above the longest claim threshold. */
const STUCK_MS = 90_000;
const PAUSE_MS = 50;
const PAGE = 1_000;
/** Records beyond `records` that `feed` may ask for, for the fleet's calendar. */
const SPARE_RECORDS = 1_000_000;

/** Call it inside a test: what it starts ends with the test, and a failure prints seed and logs. */
export async function openScenario(options: ScenarioOptions): Promise<Scenario> {
  const cleanup = new AsyncDisposableStack();
  const close = () => cleanup.disposeAsync();
  onTestFinished(close);
  const redis = await startRedis({ durability: 'real', args: options.redisArgs ?? [] });
  cleanup.defer(() => redis.stop());
  const client = new Redis(redis.url, { connectionName: 'faults:watch', protocol: 2 });
  // While the case harms Redis the connection fails and comes back; commands tell it themselves.
  client.on('error', () => {});
  cleanup.defer(() => client.disconnect());
  const postgres = await openPostgres(options);
  cleanup.defer(postgres.end);

  const instances = createInstances();
  onTestFailed(() => {
    const of = `FAULTS_SEED=${seed}, the scenario's own ${options.seed}`;
    process.stderr.write(`faults: ${of}\n${instances.lastWords()}\n`);
  });
  const urls = {
    REDIS_URL: (await options.redisUrlFor?.(redis)) ?? redis.url,
    POSTGRES_URL: (await options.postgresUrlFor?.(postgres.url)) ?? postgres.url,
  };
  cleanup.defer(() => instances.killAll());

  const ledger = createLedger();
  const stopping = new AbortController();
  const closing = new AbortController();
  const place = { url: redis.url, stream, onSent: ledger.add, signal: closing.signal };
  const sender = createSender(place);
  cleanup.defer(() => sender.close());
  const fleet = createFleet({
    seed: options.seed,
    baseTime: Date.now(),
    devices: options.devices ?? 100,
    form: options.form ?? 'mixed',
    packetRecords: 8,
    habits: options.habits ?? realHabits,
    expectedRecords: options.records + SPARE_RECORDS,
  });
  cleanup.defer(() => closing.abort(new Error('the scenario was closed while feeding')));

  let fed: Promise<unknown> = Promise.resolve();
  function feed(records: number, rate = options.rate ?? null): Promise<FeedTotals> {
    const next = fed.then(() => feedFleet({ fleet, sender, records, rate, stop: stopping.signal }));
    fed = next;
    // `finish` or the case hears of it; until then it must not count as unhandled.
    next.catch(() => {});
    return next;
  }

  async function pendingOfGroup(): Promise<number> {
    const found = (await groupBacklogs(client, stream)).find((known) => known.group === group);
    return found?.pending ?? 0;
  }

  /** Looks at one entry only: counting thousands, again and again, would itself be a load. */
  async function untilSettled(): Promise<void> {
    let last = '';
    let since = performance.now();
    for (;;) {
      instances.live();
      const from = await lastDelivered(client);
      const next = await client.xrange(stream, from === null ? '-' : `(${from}`, '+', 'COUNT', 1);
      const pending = await pendingOfGroup();
      if (next.length + pending === 0) return;
      const now = `pending ${pending}, last delivered ${from}, next ${next[0]?.[0]}`;
      if (now !== last) since = performance.now();
      if (performance.now() - since > STUCK_MS) {
        throw new Error(`nothing moved for ${STUCK_MS} ms: ${now}`);
      }
      last = now;
      await sleep(PAUSE_MS);
    }
  }

  return {
    redis,
    client,
    postgres,
    ledger,
    random: createRandom(options.seed, 1),
    feeding: feed(options.records),
    feed,
    async stopFeeding() {
      stopping.abort();
      await fed;
    },
    start(name, env = {}) {
      const base = options.defaultTimes ? {} : shortTimes;
      return instances.start(name, { ...base, ...urls, ...options.env, ...env });
    },
    backlog: async () => ({
      undelivered: await countUndelivered(client),
      pending: await pendingOfGroup(),
    }),
    untilSettled,
    pendingOf: (consumer) => countPending(client, consumer),
    async finish() {
      await fed;
      await untilSettled();
      await instances.endAll();
      expect(instances.problems).toEqual([]);
      const check = await checkStored(ledger, client, postgres.url);
      expect(check.problems, formatCheck(check)).toEqual([]);
      expect(isClean(check), formatCheck(check)).toBe(true);
      return check;
    },
    close,
  };
}

async function openPostgres({ ownPostgres = false, givenPostgres }: ScenarioOptions) {
  if (givenPostgres !== undefined) {
    return {
      get url() {
        return givenPostgres.url;
      },
      server: null,
      end: () => Promise.resolve(),
    };
  }
  if (!ownPostgres) {
    const { url, drop } = await freshDatabase();
    return { url, server: null, end: drop };
  }
  const server = await startPostgres({ durability: 'real' });
  return { url: server.url, server, end: () => server.stop() };
}

/** By hand: Redis' own `lag` is wrong after trimming. The whole stream where there is no group. */
async function countUndelivered(client: Redis): Promise<number> {
  let from = await lastDelivered(client);
  for (let count = 0; ; ) {
    const page = await client.xrange(stream, from === null ? '-' : `(${from}`, '+', 'COUNT', PAGE);
    count += page.length;
    from = page.at(-1)?.[0] ?? null;
    if (from === null || page.length < PAGE) return count;
  }
}

async function lastDelivered(client: Redis): Promise<string | null> {
  if ((await client.exists(stream)) === 0) return null;
  const groups: unknown = await client.call('XINFO', 'GROUPS', stream);
  if (!Array.isArray(groups)) return null;
  const facts: unknown = groups.find((flat: unknown) => factOf(flat, 'name') === group);
  const id = factOf(facts, 'last-delivered-id');
  return typeof id === 'string' ? id : null;
}

async function countPending(client: Redis, consumer: string): Promise<number> {
  if ((await groupBacklogs(client, stream)).every((known) => known.group !== group)) return 0;
  const consumers: unknown = await client.call('XINFO', 'CONSUMERS', stream, group);
  if (!Array.isArray(consumers)) return 0;
  const facts: unknown = consumers.find((flat: unknown) => factOf(flat, 'name') === consumer);
  return Number(factOf(facts, 'pending') ?? 0);
}

/** One value of RESP2's name, value, name, value … */
function factOf(flat: unknown, name: string): unknown {
  return Array.isArray(flat) ? flat[flat.indexOf(name) + 1] : undefined;
}

async function checkStored(ledger: Ledger, redis: Redis, url: string): Promise<LedgerCheck> {
  const database = new Client({ connectionString: url, query_timeout: 60_000 });
  // A connection that breaks also rejects the query; unheard, the event would end the process.
  database.on('error', () => {});
  try {
    await database.connect();
    const source = createLedgerSource({ database, redis, deadLetterKey, deadLettersAfter: null });
    return await checkLedger(ledger, source);
  } finally {
    // The result or the error above counts, not how the connection ended.
    await database.end().catch(() => {});
  }
}
