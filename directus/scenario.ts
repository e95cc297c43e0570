import { startPostgres, startRedis } from '../tools/servers/servers.ts';
import { checkColumnIsKept, checkExclusion, createField, deleteField } from './changes.ts';
import { makeCollections, type ShapeType } from './collections.ts';
import { applyContract, ask, makeDatabase, offersPostgis, runSql, type Urls } from './database.ts';
import { checkPromises, startDomain, turnsOff, untilDomainIsOn } from './domain-service.ts';
import { type Parts, runDrives } from './drives.ts';
import type { Installation } from './install.ts';
import { startDirectus } from './instance.ts';
import type { Report } from './report.ts';
import { compareSnapshot } from './snapshot.ts';

export interface Run {
  readonly installation: Installation;
  readonly shape: ShapeType;
  /** Writes the snapshot instead of comparing with it. */
  readonly record: boolean;
  readonly seed: number;
  readonly report: Report;
  readonly signal: AbortSignal;
}

const LOG_LINES = 20;

/**
 * From servers without a table to timing records in a client of Directus.
 * @returns whether PostgreSQL has PostGIS, so that shapes can be geometries too
 * @throws at the first failure
 */
export async function runScenario(run: Run): Promise<boolean> {
  const cleanup = new AsyncDisposableStack();
  const interrupted = Promise.withResolvers<never>();
  // Nobody may wait for it any more when it comes.
  interrupted.promise.catch(() => {});
  run.signal.addEventListener('abort', () => interrupted.reject(run.signal.reason));
  try {
    return await Promise.race([runOn(cleanup, run), interrupted.promise]);
  } finally {
    await cleanup.disposeAsync();
  }
}

async function runOn(cleanup: AsyncDisposableStack, run: Run): Promise<boolean> {
  const parts = await startParts(cleanup, run);
  try {
    await runChecks(parts, run);
  } catch (error) {
    process.stderr.write(`${await logsOf(parts)}\n`);
    throw error;
  }
  return await offersPostgis(parts.urls.superuser);
}

/** The end of both logs, because their files go with the run. */
async function logsOf({ directus, service }: Parts): Promise<string> {
  const lines = service.logs.slice(-LOG_LINES).map((line) => JSON.stringify(line));
  const parts = ['the service:', ...lines, service.stderr(), 'Directus:', await directus.log()];
  return parts.filter((part) => part !== '').join('\n');
}

async function runChecks(parts: Parts, run: Run): Promise<void> {
  const { report } = run;
  const { urls, directus, service } = parts;
  const { api } = directus;

  await report.check('without a contract the domain is off, and the service is ready', async () => {
    await turnsOff(service, 'public.timing_records', 'the table is missing', () =>
      service.untilReady(),
    );
  });
  await report.check(
    'collections made by the API; no table of another owner is listed',
    async () => {
      // A right that would let Directus list it, if DB_EXCLUDE_TABLES did not name it.
      await ask(urls.superuser, 'GRANT SELECT ON public.positions TO directus');
      await makeCollections(api, run.shape);
      await checkExclusion(api);
    },
  );
  await report.check('the contract views turn the domain on, without a restart', async () => {
    await applyContract(urls.directus, run.shape);
    await checkPromises(urls);
    await untilDomainIsOn(service);
  });
  if (run.shape === 'json') {
    await report.check('the snapshot of the schema is the recorded one', () =>
      compareSnapshot(api, run.record),
    );
  }
  await report.check('a column deleted in Directus turns the domain off by name', async () => {
    await turnsOff(service, 'public.timing_records.method', 'the column is missing', () =>
      deleteField(api, 'method'),
    );
  });
  await report.check('the column restored in Directus turns it on again', async () => {
    await createField(api, 'method');
    await untilDomainIsOn(service);
  });
  await report.check('keep-columns.sql lets PostgreSQL refuse that', async () => {
    await runSql(urls.directus, 'deploy/sql/directus/keep-columns.sql');
    await checkColumnIsKept(api, 'method');
  });
  await runDrives(parts, run);
  await report.check('the service ends in order', async () => {
    const code = await service.end('SIGTERM');
    if (code !== 0) throw new Error(`exit code ${code}: ${service.stderr()}`);
  });
}

async function startParts(cleanup: AsyncDisposableStack, run: Run): Promise<Parts> {
  const { report, installation, shape } = run;
  const postgres = await startPostgres();
  cleanup.defer(() => postgres.stop());
  const redis = await startRedis();
  cleanup.defer(() => redis.stop());
  const urls: Urls = await makeDatabase(postgres.url);
  const directus = await report.check(`Directus starts on PostgreSQL, shapes as ${shape}`, () =>
    startDirectus(installation, urls.directus, run.signal),
  );
  cleanup.defer(() => directus.stop());
  const service = startDomain(urls, redis.url);
  cleanup.defer(async () => {
    await service.end('SIGKILL');
  });
  return { urls, redisUrl: redis.url, directus, service };
}
