import type { Figures } from './figures.ts';
import { copyFloor, type Floor, idempotentFloor } from './floors.ts';
import { bullMqWorker } from './peers.ts';
import { type Load, makeLoad } from './rows.ts';
import { bounds } from './server-use.ts';
import { runService } from './service.ts';
import type { Stand } from './stand.ts';
import { perEntryWorker, valuesWorker } from './workers.ts';

export interface Loads {
  readonly formA: Load;
  readonly formB: ReadonlyMap<number, Load>;
}

const packetSizes = [1, 10, 25] as const;

export function makeLoads(records: number, baseTime: number): Loads {
  return {
    formA: makeLoad('a', 1, records, baseTime),
    formB: new Map(packetSizes.map((size) => [size, makeLoad('b', size, records, baseTime)])),
  };
}

/** One INSERT for each entry is slow; fewer records give the same result. */
const perEntryShare = 20;
/** A job costs more again. */
const jobShare = 200;

/** Floors, service and hand-written workers, one after the other on the same rows and servers. */
export async function throughputRound(stand: Stand, loads: Loads, figures: Figures): Promise<void> {
  const { formA, formB } = loads;
  noteFloor(figures, 'floor', await copyFloor(await stand.freshTable(), formA.rows));
  for (const [name, load] of [
    ['idempotent', formA],
    ['idempotent_formB10', formB.get(10)],
  ] as const) {
    if (load === undefined) continue;
    noteFloor(figures, name, await idempotentFloor(await stand.freshTable(), load.rows));
  }

  await stand.fill(formA);
  const env = { REDIS_URL: stand.redisUrl, POSTGRES_URL: await stand.freshTable() };
  const a = await runService(stand.redis, env, { records: formA.rows.length });
  figures.note('formA', a.recordsPerSecond);
  figures.note('formA_cpu_us', a.cpuMicros);
  figures.note('formA_rss_mb', a.residentMb);

  await stand.fill(formA);
  const again = await runService(stand.redis, env, {
    records: formA.rows.length,
    outcome: 'duplicate',
  });
  figures.note('duplicates', again.recordsPerSecond);
  figures.note('duplicates_cpu_us', again.cpuMicros);

  for (const [size, load] of formB) {
    await stand.fill(load);
    const url = await stand.freshTable();
    const expected = { records: load.rows.length };
    const b = await runService(stand.redis, { ...env, POSTGRES_URL: url }, expected);
    figures.note(`formB${size}`, b.recordsPerSecond);
    figures.note(`formB${size}_cpu_us`, b.cpuMicros);
  }

  await stand.fill(formA);
  const values = await valuesWorker(stand.redis, await stand.freshTable(), formA.rows.length);
  figures.note('values', values);
  const few = Math.ceil(formA.rows.length / perEntryShare);
  await stand.fill(formA, few);
  figures.note('perEntry', await perEntryWorker(stand.redis, await stand.freshTable(), few));
  await stand.redis.flushall();
  const jobs = Math.ceil(formA.rows.length / jobShare);
  const bullMq = await bullMqWorker(stand.redisUrl, await stand.freshTable(), formA, jobs);
  if (bullMq !== null) figures.note('bullmq', bullMq);
}

/** The rate of a floor, and what bounds it: CPU and WAL a record, and what its backends waited for. */
function noteFloor(figures: Figures, name: string, floor: Floor): void {
  figures.note(name, floor.recordsPerSecond);
  if (floor.serverMicros !== null) figures.note(`${name}_server_cpu_us`, floor.serverMicros);
  figures.note(`${name}_wal_bytes`, floor.walBytes);
  for (const bound of bounds) figures.note(`${name}_${bound}_share`, floor.shares[bound]);
}
