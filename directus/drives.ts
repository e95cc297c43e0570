import { z } from 'zod';
import { eventually, type RunningService } from '../tools/service.ts';
import { checkKept, checkRefusals, checkRename } from './changes.ts';
import { compareWithDrive, type Situation, untilDerived, untilStored } from './crossings.ts';
import { ask, runSql, type Urls } from './database.ts';
import { checkPromises, domainOptions, stream } from './domain-service.ts';
import { createDrive, type Drive, send } from './drive.ts';
import type { Directus } from './instance.ts';
import { drawGeofences, movedEast, moveGeofence, registerDevices } from './owner.ts';
import { countSuperseded, type TimingRecord } from './records.ts';
import type { Report } from './report.ts';
import { subscribe } from './subscriber.ts';

/** What runs. */
export interface Parts {
  readonly urls: Urls;
  readonly redisUrl: string;
  readonly directus: Directus;
  readonly service: RunningService;
}

interface Run {
  readonly seed: number;
  readonly report: Report;
  readonly signal: AbortSignal;
}

/** About 500 m. */
const MOVED_DEGREES = 0.005;
const ANNOUNCED_MS = 120_000;

/** The fleet drives through drawn geofences, in two parts; between them they are edited. */
export async function runDrives(parts: Parts, run: Run): Promise<void> {
  const { report } = run;
  const { api } = parts.directus;
  const drive = createDrive(run.seed, Date.now());
  const situation = await report.check(
    'geofences drawn and devices assigned by the API',
    async () => {
      const geofences = await drawGeofences(api, drive.devices);
      const assignments = await registerDevices(api, drive.devices);
      return { api, url: parts.urls.reader, geofences, assignments, options: domainOptions };
    },
  );
  const records = await firstPart(parts, run, drive, situation);
  await report.check('Directus answers 500 to changes behind a view, and they are not made', () =>
    checkRefusals(api),
  );
  await report.check('Directus keeps the name of a field that is renamed', () => checkRename(api));
  await report.check('the domain stays on', () => checkPromises(parts.urls));
  const [first] = records;
  if (first === undefined) throw new Error('no record');
  await report.check('a geofence with timing records cannot be deleted', () =>
    checkKept(api, first.geofence),
  );
  await editAndBack(run, drive, situation, first.geofence);
  await secondPart(parts, run, drive, situation);
}

async function firstPart(
  { redisUrl }: Parts,
  { report, signal }: Run,
  drive: Drive,
  situation: Situation,
): Promise<readonly TimingRecord[]> {
  const records = await report.check('the simulated fleet drives: records by the API', async () => {
    await send(redisUrl, stream, drive.first, signal);
    await untilStored(situation, drive.first);
    return await untilDerived(situation);
  });
  await report.check(`${records.length} records are what the drives give`, () =>
    compareWithDrive(drive, drive.first, records),
  );
  return records;
}

/** A moved geofence supersedes records; moved back, the same records live again. */
async function editAndBack(
  { report }: Run,
  drive: Drive,
  situation: Situation,
  id: string,
): Promise<void> {
  const { api, geofences } = situation;
  const original = geofences.find((one) => one.id === id);
  if (original === undefined) throw new Error(`no geofence ${id}`);
  const shape = movedEast(original.shape, MOVED_DEGREES);
  const edited = geofences.map((one) => (one === original ? { ...one, shape } : one));
  await report.check('a geofence edited by the API supersedes its records', async () => {
    await moveGeofence(api, id, shape);
    await untilDerived({ ...situation, geofences: edited });
    if ((await countSuperseded(api)) === 0) throw new Error('no record is superseded');
  });
  await report.check('edited back, the same records live again', async () => {
    await moveGeofence(api, id, original.shape);
    const records = await untilDerived(situation);
    await compareWithDrive(drive, drive.first, records);
  });
}

/** Ends the connection of the hook timing-live and waits for the next one. */
async function endListener(url: string): Promise<void> {
  const listener = "FROM pg_stat_activity WHERE usename = 'directus' AND query LIKE 'LISTEN %'";
  const ended = await ask(url, `SELECT pid, pg_terminate_backend(pid) ${listener}`);
  const [old] = z.array(z.object({ pid: z.number() })).parse(ended);
  if (old === undefined) throw new Error('the hook does not listen');
  await eventually('the hook listens', async () => {
    const rows = await ask(url, `SELECT pid ${listener} AND pid <> $1`, [old.pid]);
    return rows.length > 0 ? true : undefined;
  });
}

async function secondPart(
  { urls, redisUrl, directus }: Parts,
  { report, signal }: Run,
  drive: Drive,
  situation: Situation,
): Promise<void> {
  const { api } = directus;
  await runSql(urls.directus, 'deploy/sql/directus/websocket/announce.sql');
  await report.check('the hook listens again after its connection was ended', () =>
    endListener(urls.superuser),
  );
  const subscriber = await subscribe(api.url, api.token, 'timing_records');
  try {
    const before = new Set((await untilDerived(situation)).map(({ id }) => id));
    const all = [...drive.first, ...drive.second];
    const records = await report.check('the fleet drives on: all records are right', async () => {
      await send(redisUrl, stream, drive.second, signal);
      await untilStored(situation, all);
      const live = await untilDerived(situation);
      await compareWithDrive(drive, all, live);
      return live;
    });
    const fresh = records.filter(({ id }) => !before.has(id));
    await report.check(`a WebSocket subscriber got ${fresh.length} new records`, async () => {
      const areAll = () => fresh.every(({ id }) => subscriber.updated.has(id));
      await eventually('they are announced', () => (areAll() ? true : undefined), ANNOUNCED_MS);
      if (fresh.length === 0) throw new Error('no new record');
    });
  } finally {
    subscriber.close();
  }
}
