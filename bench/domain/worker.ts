import type { RunningService } from '../../tools/service.ts';
import { type Figures, percentile } from '../figures.ts';
import type { Load } from '../rows.ts';
import { startInstances, untilDrained } from '../service.ts';
import type { Stand } from '../stand.ts';
import {
  checkDrives,
  type Drives,
  enterDrives,
  makeDrives,
  untilComputed,
  withClient,
} from './drives.ts';

const on = { DOMAIN: 'on', DOMAIN_SUBJECT_COLUMN: 'vehicle' };
const steadyRate = 1_000;
const steadySeconds = 40;
const steadyDevices = 500;
const catchUpDevices = 1_000;
const catchUpRecords = 1_000_000;
const everyMs = 5;

export async function startOne(env: Readonly<Record<string, string>>): Promise<RunningService> {
  const [service] = await startInstances(env);
  if (service === undefined) throw new RangeError('no instance');
  return service;
}

/** From the commit of a crossing's later position to the commit of its timing record. */
export async function visibleCase(stand: Stand, baseTime: number, figures: Figures): Promise<void> {
  const drives = makeDrives(steadyDevices, steadyRate * steadySeconds, baseTime, 1);
  const url = await stand.freshTable();
  await enterDrives(url, drives);
  await stand.redis.flushall();
  const service = await startOne({ REDIS_URL: stand.redisUrl, POSTGRES_URL: url, ...on });
  await sendSteadily(stand, drives);
  await untilDrained(stand.redis);
  await untilComputed(url, service);
  await service.end('SIGTERM');
  await checkDrives(url, drives);
  const latencies = await visibleAfter(url);
  figures.note('domain_visible_records', latencies.length);
  for (const at of [50, 95, 99]) {
    figures.note(`domain_visible_p${at}_ms`, percentile(latencies, at / 100));
  }
}

async function sendSteadily(stand: Stand, { entries }: Drives): Promise<void> {
  const load: Load = { entries, rows: [], sha256: '' };
  const began = performance.now();
  for (let sent = 0; sent < entries.length; ) {
    const elapsed = performance.now() - began;
    const due = Math.min(entries.length, Math.floor((elapsed * steadyRate) / 1000));
    await stand.add(load, sent, due - sent);
    sent = due;
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

function visibleAfter(url: string): Promise<number[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ ms: number }>(
      `SELECT (extract(epoch FROM pg_xact_commit_timestamp(record.xmin) - greatest(
                pg_xact_commit_timestamp(later.xmin), pg_xact_commit_timestamp(earlier.xmin))) * 1000)::float8 AS ms
         FROM public.timing_records AS record
         JOIN public.devices AS device ON device.id = record.device
         JOIN public.positions AS later
           ON later.device_id = device.imei AND later.ts = record.after_ts
         LEFT JOIN public.positions AS earlier
           ON earlier.device_id = device.imei AND earlier.ts = record.before_ts
        WHERE record.superseded_at IS NULL`,
    );
    return rows.map(({ ms }) => ms);
  });
}

/** The domain is switched on where a million positions of 1,000 devices are stored. */
export async function catchUpCase(stand: Stand, baseTime: number, figures: Figures): Promise<void> {
  const drives = makeDrives(catchUpDevices, catchUpRecords, baseTime, 10);
  const url = await stand.freshTable();
  await enterDrives(url, drives);
  await stand.fill({ entries: drives.entries, rows: [], sha256: '' });
  const env = { REDIS_URL: stand.redisUrl, POSTGRES_URL: url };
  const before = await startOne(env);
  await untilDrained(stand.redis);
  await before.end('SIGTERM');
  await withClient(url, (client) => client.query('VACUUM ANALYZE'));

  const began = performance.now();
  const service = await startOne({ ...env, ...on });
  await untilComputed(url, service);
  const seconds = (performance.now() - began) / 1000;
  const cpuSeconds = await service.metric('process_cpu_seconds_total');
  const residentMb = (await service.metric('process_resident_memory_bytes')) / 1e6;
  await service.end('SIGTERM');
  await checkDrives(url, drives);
  figures.note('domain_catch_up_s', seconds);
  figures.note('domain_catch_up_fix_us', (cpuSeconds * 1e6) / drives.records);
  figures.note('domain_catch_up_rss_mb', residentMb);
}
