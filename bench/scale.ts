import type { Figures } from './figures.ts';
import { type Load, makeLoad } from './rows.ts';
import { beganAt, runService, startInstances, untilDrained } from './service.ts';
import { type Stand, streamKey } from './stand.ts';

/** The least and the most take turns, for the machine's speed moves by as much as they differ. */
const comparedDevices = [100, 1_000_000] as const;
const otherDevices = [10_000, 100_000] as const;
const instanceCounts = [1, 2, 4] as const;
const batchSizes = [100, 1000, 5000, 20_000] as const;

/**
 * What grows: devices, batches, instances. Frame entries: one record each where devices grow, because
 * a device of a million has no more, and ten records otherwise.
 */
export async function scaleCases(
  stand: Stand,
  { rounds, records, baseTime }: { rounds: number; records: number; baseTime: number },
  figures: Figures,
): Promise<void> {
  const loadOf = (devices: number) =>
    makeLoad('b', 1, Math.max(records, devices), baseTime, devices);
  const compared = comparedDevices.map((devices) => ({ devices, load: loadOf(devices) }));
  for (let round = 1; round <= rounds; round += 1) {
    for (const { devices, load } of compared) await devicesCase(stand, devices, load, figures);
  }
  for (const devices of otherDevices) {
    await devicesCase(stand, devices, loadOf(devices), figures);
  }
  const load = makeLoad('b', 10, records, baseTime);
  for (const rows of batchSizes) {
    await stand.fill(load);
    const env = {
      REDIS_URL: stand.redisUrl,
      POSTGRES_URL: await stand.freshTable(),
      BATCH_ROWS: String(rows),
      IN_FLIGHT_RECORDS: '40000',
    };
    const run = await runService(stand.redis, env, { records: load.rows.length });
    figures.note(`batch_${rows}`, run.recordsPerSecond);
  }
  for (const count of instanceCounts) {
    await stand.fill(load);
    const env = { REDIS_URL: stand.redisUrl, POSTGRES_URL: await stand.freshTable() };
    const run = await runService(stand.redis, env, { records: load.rows.length }, count);
    figures.note(`instances_${count}`, run.recordsPerSecond);
  }
}

async function devicesCase(
  stand: Stand,
  devices: number,
  load: Load,
  figures: Figures,
): Promise<void> {
  await stand.fill(load);
  const env = {
    REDIS_URL: stand.redisUrl,
    POSTGRES_URL: await stand.freshTable(),
    DEVICE_STATE_CAPACITY: '1000000',
  };
  const run = await runService(stand.redis, env, { records: load.rows.length });
  figures.note(`devices_${devices}`, run.recordsPerSecond);
  figures.note(`devices_${devices}_cpu_us`, run.cpuMicros);
  figures.note(`devices_${devices}_rss_mb`, run.residentMb);
}

/** From the start of the process to its first read, on a migrated database. */
export async function startUpCase(stand: Stand, figures: Figures): Promise<void> {
  const url = await stand.freshTable();
  await stand.redis.flushall();
  for (let round = 0; round < 5; round += 1) {
    const spawned = Date.now();
    const [service] = await startInstances({ REDIS_URL: stand.redisUrl, POSTGRES_URL: url });
    if (service === undefined) throw new RangeError('no instance');
    figures.note('start_to_first_read_ms', (await beganAt(service)) - spawned);
    await service.end('SIGTERM');
  }
}

/** The engine collects sooner, as OPERATIONS.md has it for a machine with little memory. */
const smallHeap = '--max-semi-space-size=8 --max-old-space-size=1000';

/**
 * Memory with a long backlog: BENCH_BACKLOG frame entries of one record, once with the
 * image's options and once with a small heap.
 */
export async function backlogCase(
  stand: Stand,
  entries: number,
  baseTime: number,
  figures: Figures,
): Promise<void> {
  const load = makeLoad('b', 1, Math.min(entries, 500_000), baseTime, 100_000);
  await stand.redis.flushall();
  for (let added = 0; added < entries; added += load.entries.length) {
    await stand.add(load, 0, Math.min(load.entries.length, entries - added));
  }
  figures.note('backlog_entries', entries);
  await drainBacklog(stand, entries, '', 'backlog', figures);
  await stand.redis.xgroup('DESTROY', streamKey, 'processor');
  await drainBacklog(stand, entries, smallHeap, 'backlog_small_heap', figures);
}

async function drainBacklog(
  stand: Stand,
  entries: number,
  nodeOptions: string,
  name: string,
  figures: Figures,
): Promise<void> {
  const url = await stand.freshTable();
  const env = { REDIS_URL: stand.redisUrl, POSTGRES_URL: url, NODE_OPTIONS: nodeOptions };
  const [service] = await startInstances(env);
  if (service === undefined) throw new RangeError('no instance');
  const began = Date.now();
  let isDone = false;
  const samples: number[] = [];
  const sampling = (async () => {
    while (!isDone) {
      samples.push((await service.metric('process_resident_memory_bytes')) / 1e6);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  })();
  await untilDrained(stand.redis);
  figures.note(name, (entries * 1000) / (Date.now() - began));
  isDone = true;
  await sampling;
  await service.end('SIGTERM');
  const half = samples.length >> 1;
  figures.note(`${name}_rss_mb_first_half`, Math.max(...samples.slice(0, half)));
  figures.note(`${name}_rss_mb_second_half`, Math.max(...samples.slice(half)));
}
