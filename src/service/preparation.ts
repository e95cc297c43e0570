import { type Config, redactUrl } from '../config/load.ts';
import { migrationsFolder } from '../db/migrations-folder.ts';
import { migrate, readMigrations } from '../db/migrator.ts';
import type { Storage } from '../db/storage.ts';
import type { Health } from '../lifecycle/health.ts';
import { retryStep } from '../lifecycle/start-up.ts';
import { formatShards } from '../observability/shards.ts';
import { retryBackoff } from './guard-parts.ts';
import type { Parts } from './parts.ts';
import { prepareStreams, type StreamPreparation } from './stream-preparation.ts';

export interface Build {
  readonly version: string;
  readonly revision: string;
}

interface Preparation extends StreamPreparation {
  readonly build: Build;
  readonly health: Health;
}

/**
 * Migrates the database, creates streams and groups, and samples the streams. Each step is retried
 * until its dependency answers. With shards one that can be read is enough; the others follow in the
 * background. @throws MigrationError, or AbortError after the signal
 */
export async function prepare(options: Preparation): Promise<void> {
  const storage = await prepareDatabase(options);
  await prepareStreams(options);
  announce(options, storage);
}

async function prepareDatabase(options: Preparation): Promise<Storage> {
  const { config, health, log, signal } = options;
  const { database: db, domain } = config;
  const migrations = await readMigrations(migrationsFolder);
  const { applied, version, storage } = await retryStep(
    'migrate',
    () => migrate(migrations, { ...db, url: db.migrationUrl, mode: db.migrations, domain }, log),
    {
      ...retryBackoff,
      signal,
      onFailure: ({ kind, code }) => health.set('database', `${kind}: ${code}`),
    },
    log,
  );
  health.set('database', 'ok');
  log.info({ applied, version }, 'schema is up to date');
  return storage;
}

function announce({ config, parts, build, log }: Preparation, storage: Storage): void {
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
      ...describeStreams(config, parts),
      redis: redactUrl(config.redis.url),
      database: redactUrl(config.database.url),
      storage,
    },
    'reading begins',
  );
}

function describeStreams({ shards, streams: [first] }: Config, parts: Parts): object {
  const { group, consumer } = first;
  if (shards === null) {
    return { stream: first.key, group, consumer, dead_letter_stream: first.deadLetterKey };
  }
  const waiting = parts.streams.filter(({ gate }) => !gate.isOpen);
  return {
    stream: shards.name,
    group,
    consumer,
    shards: shards.count,
    read_shards: formatShards(shards.read),
    waiting_shards: formatShards(waiting.flatMap(({ stream: { shard } }) => shard ?? [])),
  };
}
