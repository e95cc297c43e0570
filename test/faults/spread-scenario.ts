/**
 * One case with several Redis servers: a Sentinel set with one stream, or a cluster with shards. As
 * in scenario.ts the ledger knows every record, and at the end nothing may be lost and nothing doubled.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { expect, onTestFailed, onTestFinished } from 'vitest';
import type { SimulatedEntry } from '../../src/simulator/entry.ts';
import { createFleet, type Fleet } from '../../src/simulator/fleet.ts';
import { type Habits, realHabits } from '../../src/simulator/habits.ts';
import { createLedger, type Ledger } from '../../src/simulator/ledger.ts';
import {
  checkLedger,
  formatCheck,
  isClean,
  type LedgerCheck,
} from '../../src/simulator/ledger-check.ts';
import { shardKey, shardOf } from '../../src/stream/shards.ts';
import type { RunningService } from '../../tools/service.ts';
import { freshDatabase } from '../setup/database.ts';
import { createInstances } from './instances.ts';
import { quickRetries } from './outage.ts';
import { group, seed, shortTimes, stream } from './scenario.ts';
import { createPlaces, type Places, type ServerSet } from './server-set.ts';
import { createSpreadSender, type SpreadSender } from './spread-sender.ts';
import { type SpreadSource, spreadLedgerSource } from './spread-source.ts';

export interface SpreadOptions {
  readonly servers: ServerSet;
  /** Null: one stream under its plain name. */
  readonly shards: number | null;
  readonly habits?: Habits;
  readonly devices?: number;
  /** Of every instance, above the times. */
  readonly env?: Readonly<Record<string, string>>;
  /** Several databases: each instance names its own. Default: one fresh database for all. */
  readonly databases?: readonly string[];
}

export interface SpreadScenario {
  readonly streams: readonly string[];
  /** URLs; one unless the options name several. */
  readonly databases: readonly string[];
  readonly places: Places;
  readonly fleet: Fleet;
  readonly ledger: Ledger;
  readonly sender: SpreadSender;
  /** `name` becomes CONSUMER_NAME. */
  start(name: string, env?: Readonly<Record<string, string>>): RunningService;
  /** Waits until nothing of any stream is undelivered or pending. */
  untilSettled(): Promise<void>;
  /**
   * Ends the load, sends again what failovers took back, waits until everything is settled, ends the
   * instances, and asserts that each account adds up, that none reported a loss, and that the ledger
   * is clean.
   */
  finish(): Promise<LedgerCheck & { readonly takenBack: number }>;
}

const stuckMs = 120_000;
const pauseMs = 100;
const expectedRecords = 2_000_000;
const lostSeries = ['trimmed_pending', 'trimmed_undelivered'].map(
  (cause) => `processor_stream_entries_lost_total{cause="${cause}"}`,
);

/** Call it inside a test: what it starts ends with the test. */
export async function openSpreadScenario(options: SpreadOptions): Promise<SpreadScenario> {
  const { servers, shards, env = {} } = options;
  const cleanup = new AsyncDisposableStack();
  onTestFinished(() => cleanup.disposeAsync());
  const instances = createInstances();
  const databases = options.databases ?? [await databaseOf(cleanup)];
  cleanup.defer(() => instances.killAll());
  onTestFailed(() => {
    process.stderr.write(`faults: FAULTS_SEED=${seed}\n${instances.lastWords()}\n`);
  });

  const streams = shards === null ? [stream] : shardNames(shards);
  const ledger = createLedger();
  const places = createPlaces(servers, streams);
  cleanup.defer(() => places.close());
  await places.refresh();
  const streamOf = (entry: SimulatedEntry) => (shards === null ? 0 : shardOfEntry(entry, shards));
  const sender = createSpreadSender({ places, streams, streamOf, onSent: ledger.add });
  cleanup.defer(() => sender.close());
  const fleet = createFleet({
    seed,
    baseTime: Date.now(),
    devices: options.devices ?? 200,
    form: 'mixed',
    packetRecords: 8,
    habits: options.habits ?? realHabits,
    expectedRecords,
  });

  const common = {
    ...shortTimes,
    ...quickRetries,
    REDIS_URL: servers.url,
    POSTGRES_URL: databases[0] ?? '',
    ...(shards === null ? {} : { STREAM_SHARDS: String(shards) }),
    ...env,
  };

  async function untilSettled(): Promise<void> {
    const giveUpAt = performance.now() + stuckMs;
    for (const name of streams) {
      for (let open = await openOf(places, name); open !== null; ) {
        instances.live();
        if (performance.now() > giveUpAt) throw new Error(`not settled: ${name} ${open}`);
        await sleep(pauseMs);
        open = await openOf(places, name);
      }
    }
  }

  return {
    streams,
    databases,
    places,
    fleet,
    ledger,
    sender,
    start: (name, own = {}) => instances.start(name, { ...common, ...own }),
    untilSettled,
    async finish() {
      await sender.stop();
      const takenBack = await sender.sendTakenBack();
      await untilSettled();
      for (const { name, service } of instances.live()) {
        const value = await service.metrics();
        expect(lostSeries.map(value), `${name} reports a loss`).toEqual([0, 0]);
      }
      await instances.endAll();
      expect(instances.problems).toEqual([]);
      const check = await checkAll(ledger, { databases, places, streams, takenBack });
      expect(check.problems, formatCheck(check)).toEqual([]);
      expect(isClean(check), formatCheck(check)).toBe(true);
      return { ...check, takenBack: takenBack.length };
    },
  };
}

async function databaseOf(cleanup: AsyncDisposableStack): Promise<string> {
  const { url, drop } = await freshDatabase();
  cleanup.defer(drop);
  return url;
}

export function shardNames(shards: number): readonly string[] {
  return Array.from({ length: shards }, (_, shard) => shardKey(stream, shard));
}

export function shardOfEntry({ fields }: SimulatedEntry, shards: number): number {
  const value = fields[fields.indexOf('device_id') + 1];
  return shardOf(String(value), shards);
}

/** What is left to do of a stream, in words; null for nothing. */
async function openOf(places: Places, name: string): Promise<string | null> {
  try {
    const [groups, last] = [
      await places.command(name, 'XINFO', 'GROUPS', name),
      await places.command(name, 'XREVRANGE', name, '+', '-', 'COUNT', 1),
    ];
    const facts = factsOf(groups);
    const newest = Array.isArray(last) && Array.isArray(last[0]) ? String(last[0][0]) : '0-0';
    if (facts.get('pending') === '0' && facts.get('last-delivered-id') === newest) return null;
    return `has ${facts.get('pending')} pending, delivered ${facts.get('last-delivered-id')} of ${newest}`;
  } catch (error) {
    const text = String(error);
    // Nothing was ever sent to this one.
    return text.includes('no such key') ? null : text;
  }
}

/** Of the service's group, from RESP2's name, value, name, value … */
function factsOf(groups: unknown): ReadonlyMap<string, string> {
  const all = Array.isArray(groups) ? groups.filter(Array.isArray) : [];
  const flat = all
    .map((one) => one.map(String))
    .find((one) => one[one.indexOf('name') + 1] === group);
  const facts = new Map<string, string>();
  for (let at = 0; at + 1 < (flat?.length ?? 0); at += 2) {
    facts.set(flat?.[at] ?? '', flat?.[at + 1] ?? '');
  }
  return facts;
}

interface Stores extends SpreadSource {
  readonly databases: readonly string[];
}

async function checkAll(ledger: Ledger, stores: Stores): Promise<LedgerCheck> {
  const clients = stores.databases.map(
    (connectionString) => new Client({ connectionString, query_timeout: 60_000 }),
  );
  try {
    for (const client of clients) {
      // A connection that breaks also rejects the query; unheard, the event would end the process.
      client.on('error', () => {});
      await client.connect();
    }
    return await checkLedger(ledger, spreadLedgerSource(clients, stores));
  } finally {
    // The result or the error above counts, not how the connections ended.
    await Promise.allSettled(clients.map((client) => client.end()));
  }
}
