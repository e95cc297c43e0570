import { type Config, redactUrl } from '../config/load.ts';
import type { Logger } from '../core/types.ts';
import { migrate, readMigrations } from '../db/migrator.ts';
import type { Storage } from '../db/storage.ts';
import type { Health } from '../lifecycle/health.ts';
import { retryStep } from '../lifecycle/start-up.ts';
import { sampleBacklog } from '../stream/backlog.ts';
import { retryBackoff } from './guard-parts.ts';
import type { Parts } from './parts.ts';

export interface Build {
  readonly version: string;
  readonly revision: string;
}

interface Preparation {
  readonly config: Config;
  readonly build: Build;
  readonly parts: Parts;
  readonly health: Health;
  readonly log: Logger;
  /** Ends the retries of a step. */
  readonly signal: AbortSignal;
}

/**
 * Migrates the database, creates stream and group, and samples the stream. Each step is retried
 * until its dependency answers. @throws MigrationError, or AbortError after the signal
 */
export async function prepare(options: Preparation): Promise<void> {
  const storage = await prepareDatabase(options);
  await prepareStream(options);
  announce(options, storage);
}

function retryOptions({ health, signal }: Preparation, part: 'database' | 'redis') {
  return {
    ...retryBackoff,
    signal,
    onFailure: ({ kind, code }: { kind: string; code: string }) =>
      health.set(part, `${kind}: ${code}`),
  };
}

async function prepareDatabase(options: Preparation): Promise<Storage> {
  const { config, health, log } = options;
  const { database: db, domain } = config;
  const migrations = await readMigrations(new URL('../../migrations/', import.meta.url));
  const { applied, version, storage } = await retryStep(
    'migrate',
    () => migrate(migrations, { ...db, url: db.migrationUrl, mode: db.migrations, domain }, log),
    retryOptions(options, 'database'),
    log,
  );
  health.set('database', 'ok');
  log.info({ applied, version }, 'schema is up to date');
  return storage;
}

async function prepareStream(options: Preparation): Promise<void> {
  const { config, parts, health, log } = options;
  const { consumer, connection } = parts;
  const { stream } = config;
  const retrying = retryOptions(options, 'redis');
  await retryStep('prepare the consumer group', consumer.prepare, retrying, log);
  const { neverWritten } = await retryStep(
    'sample the stream',
    async () => sampleBacklog(await connection.ready(), stream, Date.now()),
    retrying,
    log,
  );
  health.set('redis', 'ok');
  if (neverWritten) {
    log.warn(
      { stream: stream.key },
      'nothing was ever written to this stream: does the ingestion service use the same name?',
    );
  }
}

function announce({ config, build, log }: Preparation, storage: Storage): void {
  if (storage.kind === 'plain table') {
    log.warn(
      {},
      'positions is a plain table (TIMESCALEDB=optional): no chunks, no columnstore; retention by processor retention',
    );
  }
  log.info(
    {
      ...build,
      node: process.versions.node,
      stream: config.stream.key,
      group: config.stream.group,
      consumer: config.stream.consumer,
      dead_letter_stream: config.stream.deadLetterKey,
      redis: redactUrl(config.redis.url),
      database: redactUrl(config.database.url),
      storage,
    },
    'reading begins',
  );
}
