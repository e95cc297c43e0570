/** Sends a fleet to several streams, each on its own: one without a server does not stop the others. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { SimulatedEntry } from '../../src/simulator/entry.ts';
import { entryFingerprint } from '../../src/simulator/fingerprint.ts';
import type { Fleet } from '../../src/simulator/fleet.ts';
import { createSender } from '../../src/simulator/sender.ts';
import { openFeeder } from './sender.ts';
import type { Places } from './server-set.ts';

export interface SpreadSenderOptions {
  readonly places: Places;
  readonly streams: readonly string[];
  /** Index of the entry's stream. */
  readonly streamOf: (entry: SimulatedEntry) => number;
  /** Called once with each entry that a server acknowledged. */
  readonly onSent: (entry: SimulatedEntry) => void;
}

export interface SpreadSender {
  /** Sends at this rate until `stop`, behind what is under way. */
  start(fleet: Pick<Fleet, 'next'>, recordsPerSecond: number): void;
  /** Resolves when everything that was started is sent. @throws SendError */
  stop(): Promise<void>;
  send(entries: readonly SimulatedEntry[]): Promise<void>;
  /** Counts an entry that the case itself has added to a stream. */
  addedElsewhere(entry: SimulatedEntry): void;
  /**
   * Sends again what was acknowledged and is in none of the streams now, as a producer does that
   * keeps what it sent: a failover took it back.
   * @returns the fingerprint of each
   */
  sendTakenBack(): Promise<readonly number[]>;
  close(): void;
}

const pauseMs = 10;
/** Entries in one round trip: more may not be answered within the time for a command. */
const page = 1_000;
/** Entries that wait for a server; no more are made then, and what is due is made up for later. */
const maxWaiting = 20_000;

export function createSpreadSender(options: SpreadSenderOptions): SpreadSender {
  const { places, streams, streamOf, onSent } = options;
  const closing = new AbortController();
  const acknowledged: SimulatedEntry[] = [];
  let isFirstTime = true;
  let waiting = 0;
  function note(entry: SimulatedEntry): void {
    // Without its records, which are most of its memory: a long run has a million of them.
    acknowledged.push({ fields: entry.fields, records: [] });
    onSent(entry);
  }
  const senders = streams.map((stream) =>
    createSender({
      stream,
      open: () => openClient(places, stream),
      onSent: (entry) => {
        if (isFirstTime) note(entry);
      },
      signal: closing.signal,
    }),
  );
  const usedPlaces = streams.map((stream) => places.last(stream));
  const queues = streams.map((): Promise<unknown> => Promise.resolve());
  let stopping = new AbortController();
  let loop: Promise<void> = Promise.resolve();

  /** A former primary may take entries for seconds after a failover, and they are lost. */
  function followPlace(index: number): void {
    const place = places.last(streams[index] ?? '');
    if (place !== null && place !== usedPlaces[index]) senders[index]?.close();
    usedPlaces[index] = place;
  }

  function enqueue(entries: readonly SimulatedEntry[]): void {
    const groups = Map.groupBy(entries, streamOf);
    for (const [index, group] of groups) {
      waiting += group.length;
      const sent = queues[index]?.then(async () => {
        for (let at = 0; at < group.length; at += page) {
          followPlace(index);
          const some = group.slice(at, at + page);
          await senders[index]?.send(some);
          waiting -= some.length;
        }
      });
      // `stop` hears of it; until then it must not count as unhandled.
      sent?.catch(() => {});
      if (sent !== undefined) queues[index] = sent;
    }
  }

  async function run(fleet: Pick<Fleet, 'next'>, rate: number, stop: AbortSignal): Promise<void> {
    const start = performance.now();
    for (let made = 0; !stop.aborted; await sleep(pauseMs)) {
      const due = Math.floor((rate * (performance.now() - start)) / 1000);
      const entries: SimulatedEntry[] = [];
      for (; made < due && waiting + entries.length < maxWaiting; ) {
        const entry = fleet.next();
        entries.push(entry);
        made += Math.max(1, entry.records.length);
      }
      enqueue(entries);
    }
  }

  async function takenBack(): Promise<SimulatedEntry[]> {
    const there = new Map<number, number>();
    for (const stream of streams) {
      for await (const fingerprint of fingerprintsOf(places, stream)) {
        there.set(fingerprint, (there.get(fingerprint) ?? 0) + 1);
      }
    }
    return acknowledged.filter(({ fields }) => {
      const fingerprint = entryFingerprint(fields);
      const count = there.get(fingerprint) ?? 0;
      if (count > 0) there.set(fingerprint, count - 1);
      return count === 0;
    });
  }

  async function drain(): Promise<void> {
    await Promise.all(queues);
  }

  return {
    start(fleet, rate) {
      stopping = new AbortController();
      loop = run(fleet, rate, stopping.signal);
    },
    async stop() {
      stopping.abort();
      await loop;
      await drain();
    },
    async send(entries) {
      enqueue(entries);
      await drain();
    },
    addedElsewhere: note,
    async sendTakenBack() {
      const entries = await takenBack();
      isFirstTime = false;
      enqueue(entries);
      await drain();
      isFirstTime = true;
      return entries.map(({ fields }) => entryFingerprint(fields));
    },
    close() {
      stopping.abort();
      closing.abort();
      for (const sender of senders) sender.close();
    },
  };
}

/** Each new connection goes where the stream was found last. */
function openClient(places: Places, stream: string): Redis {
  // The answer to a command says more than the check of a new connection, and within the time limit.
  return openFeeder(places.last(stream)?.url ?? 'redis://127.0.0.1:1', { enableReadyCheck: false });
}

async function* fingerprintsOf(places: Places, stream: string): AsyncGenerator<number> {
  await places.refresh();
  const client = openClient(places, stream);
  try {
    await client.connect();
    for (let from = '-'; ; ) {
      const found = await client.xrangeBuffer(stream, from, '+', 'COUNT', page);
      for (const [, fields] of found) yield entryFingerprint(fields);
      const last = found.at(-1);
      if (last === undefined || found.length < page) return;
      from = `(${last[0].toString('latin1')}`;
    }
  } finally {
    client.disconnect();
  }
}
