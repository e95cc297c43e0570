/**
 * vitest's globalSetup: a temporary folder for the whole run, the bundled program in it, and both
 * servers, their URLs through `inject`.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { showProgress } from '../../scripts/prepare/progress.mjs';
import { askPostgres, askRedis } from '../../tools/servers/ask.ts';
import { openRunFolder } from '../../tools/servers/run-folder.ts';
import { providePostgres, provideRedis, type RunningServer } from '../../tools/servers/servers.ts';
import { programOfThisRun } from './bundle.ts';
import { makeMigratedTemplate } from './database-from.ts';

declare module 'vitest' {
  interface ProvidedContext {
    redisUrl: string;
    databaseUrl: string;
    /** The name of a database with every migration, to copy; null where TimescaleDB is offered. */
    migratedTemplate: string | null;
    /** The PostgreSQL server offers the extension. */
    timescaledb: boolean;
    timescaledbVersion: string | null;
    /** 'apache' or 'timescale'; null when neither the server nor TEST_TIMESCALEDB_LICENSE tells. */
    timescaledbLicense: string | null;
  }
}

interface PostgresFacts {
  readonly version: string;
  readonly timescaledb: string | null;
  readonly license: string | null;
}

const factsStatement = `
  SELECT current_setting('server_version') AS version,
         (SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb')
           AS timescaledb,
         nullif(current_setting('timescaledb.license', true), '') AS license`;

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await openRunFolder();
  // Half of the suite's CPU was spent on compiling the same modules, once for each process.
  process.env.NODE_COMPILE_CACHE = join(folder.path, 'compile-cache');
  const { program, redis, postgres } = await provideAll(folder.path).catch(
    async (error: unknown) => {
      await folder.close();
      throw error;
    },
  );
  process.env.PROCESSOR_PROGRAM = program;
  const template = `processor_test_template_${randomUUID().replaceAll('-', '')}`;
  const stop = async () => {
    // A given server outlives the run.
    await askPostgres(postgres.url, `DROP DATABASE IF EXISTS ${template}`);
    await Promise.all([redis.stop(), postgres.stop()]);
    await folder.close();
  };
  try {
    const redisFacts = await askRedis(redis.url);
    const facts = await askPostgres<PostgresFacts>(postgres.url, factsStatement);
    const { TEST_TIMESCALEDB_LICENSE: reported } = process.env;
    const license = reported || facts?.license || null;
    const timescaledb = facts?.timescaledb ?? null;
    project.provide('redisUrl', redis.url);
    project.provide('databaseUrl', postgres.url);
    if (timescaledb === null) await makeMigratedTemplate(postgres.url, template);
    project.provide('migratedTemplate', timescaledb === null ? template : null);
    project.provide('timescaledb', timescaledb !== null);
    project.provide('timescaledbVersion', timescaledb);
    project.provide('timescaledbLicense', timescaledb === null ? null : license);
    process.stderr.write(
      `test servers: Redis ${redisFacts.version} (${redis.how}), ` +
        `PostgreSQL ${facts?.version} (${postgres.how}), TimescaleDB ${timescaledb ?? 'not there'}\n`,
    );
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}

interface Provided {
  /** The bundled program's file. */
  readonly program: string;
  readonly redis: RunningServer;
  readonly postgres: RunningServer;
}

async function provideAll(folder: string): Promise<Provided> {
  // vitest draws on the terminal, so these are plain lines there too.
  const waiting = showProgress('test servers: starting Redis and PostgreSQL', {
    out: process.stderr,
    terminal: false,
  });
  const [program, redis, postgres] = await Promise.allSettled([
    programOfThisRun(join(folder, 'program')),
    provideRedis(),
    providePostgres(),
  ]);
  waiting.done();
  if (
    program.status === 'fulfilled' &&
    redis.status === 'fulfilled' &&
    postgres.status === 'fulfilled'
  ) {
    return { program: program.value, redis: redis.value, postgres: postgres.value };
  }
  for (const server of [redis, postgres]) {
    if (server.status === 'fulfilled') await server.value.stop();
  }
  const reasons = [program, redis, postgres].flatMap((result): unknown[] =>
    result.status === 'rejected' ? [result.reason] : [],
  );
  const reported = reasons.map((reason) =>
    reason instanceof Error ? reason.message : String(reason),
  );
  throw new AggregateError(reasons, reported.join('; '));
}
