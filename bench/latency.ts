import pg from 'pg';
import { type Figures, percentile } from './figures.ts';
import type { Load } from './rows.ts';
import { groupFields, progressOf, startInstances, untilDrained } from './service.ts';
import { type Stand, streamKey } from './stand.ts';

const shares = [0.1, 0.5, 0.8] as const;
const secondsEach = 10;
const warmUpSeconds = 3;
const everyMs = 5;
/** Enough unread entries that the service never waits for the sender. */
const mostUnread = 20_000;
const sentTogether = 1000;

/**
 * What the service settles while the entries are being sent, on the same cores: the sender takes
 * a share of them, so this is less than what it makes of a stream that is there already.
 */
export async function capacityCase(stand: Stand, load: Load, figures: Figures): Promise<number> {
  await stand.redis.flushall();
  const env = { REDIS_URL: stand.redisUrl, POSTGRES_URL: await stand.freshTable() };
  const services = await startInstances(env);
  const count = load.entries.length;
  let warm: Awaited<ReturnType<typeof progressOf>> | null = null;
  for (let sent = 0; sent < count; sent += sentTogether) {
    if (warm === null && sent >= count / 3) warm = await progressOf(services, 'inserted');
    while ((await groupFields(stand.redis))('lag') > mostUnread) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await stand.add(load, sent, Math.min(sentTogether, count - sent));
  }
  const done = await progressOf(services, 'inserted');
  await untilDrained(stand.redis);
  for (const service of services) await service.end('SIGTERM');
  if (warm === null) throw new RangeError('nothing was sent');
  const capacity = ((done.settled - warm.settled) * 1000) / (done.atMs - warm.atMs);
  figures.note('capacity_while_sent', capacity);
  return capacity;
}

/**
 * From XADD to commit at shares of that capacity: the time in the entry's id against
 * PostgreSQL's own commit time of the row's transaction, on one machine and one clock.
 */
export async function latencyCases(
  stand: Stand,
  load: Load,
  capacity: number,
  figures: Figures,
): Promise<void> {
  for (const share of shares) {
    const rate = Math.floor(capacity * share);
    const needed = Math.min(load.entries.length, rate * (secondsEach + warmUpSeconds));
    const latencies = await latenciesAt(stand, load, rate, needed);
    const name = `latency_${share * 100}pct`;
    figures.note(`${name}_rate`, rate);
    for (const at of [50, 95, 99])
      figures.note(`${name}_p${at}_ms`, percentile(latencies, at / 100));
  }
}

async function latenciesAt(stand: Stand, load: Load, rate: number, count: number) {
  const url = await stand.freshTable();
  await stand.redis.flushall();
  const [service] = await startInstances({ REDIS_URL: stand.redisUrl, POSTGRES_URL: url });
  const sentMs = await send(stand, load, rate, count);
  await untilDrained(stand.redis);
  await service?.end('SIGTERM');
  return await latenciesOf(url, sentMs);
}

/** Milliseconds from the sent times to the commits of the rows. */
export async function latenciesOf(
  url: string,
  sentMs: ReadonlyMap<string, number>,
): Promise<number[]> {
  const client = new pg.Client(url);
  await client.connect();
  const { rows } = await client.query<{ device_id: string; ts: number; committed: number | null }>(
    `SELECT device_id, (extract(epoch FROM ts) * 1000)::float8 AS ts,
            (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000)::float8 AS committed
     FROM public.positions WHERE device_id = ANY ($1)`,
    [[...new Set([...sentMs.keys()].map((key) => key.split(' ')[0]))]],
  );
  await client.end();
  return rows.flatMap(({ device_id, ts, committed }) => {
    const sent = sentMs.get(`${device_id} ${ts}`);
    return sent === undefined || committed === null ? [] : [committed - sent];
  });
}

/**
 * Sends entries of one record at a steady rate, from the entry `from` up to `to`; the times of what
 * came after the warm-up, by key.
 */
export async function send(stand: Stand, load: Load, rate: number, to: number, from = 0) {
  const sentMs = new Map<string, number>();
  const began = performance.now();
  const counted = from + Math.min(rate * warmUpSeconds, (to - from) / 2);
  for (let sent = from; sent < to; ) {
    const due = Math.min(to, from + Math.floor(((performance.now() - began) * rate) / 1000));
    if (due > sent) {
      const pipeline = stand.redis.pipeline();
      for (const fields of load.entries.slice(sent, due)) {
        pipeline.call('XADD', streamKey, '*', ...fields);
      }
      const answers = (await pipeline.exec()) ?? [];
      answers.forEach(([, id], at) => {
        const row = load.rows[sent + at];
        if (row === undefined || sent + at < counted) return;
        sentMs.set(`${row.deviceId} ${row.ts}`, Number(String(id).split('-')[0]));
      });
      sent = due;
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
  return sentMs;
}
