import type { Client } from 'pg';
import { onTestFinished } from 'vitest';
import type { Position } from '../../src/core/types.ts';
import type { DomainSwitch } from '../../src/db/domain-switch.ts';
import { type MigrateOptions, migrate } from '../../src/db/migrator.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { freshDatabase, freshMigrated } from '../setup/database.ts';
import type { Fresh } from '../setup/hypertable.ts';
import { connect, dayMs, migrateOptions, migrations, openPool, silent } from './positions.ts';

export const on: DomainSwitch = { enabled: true, recomputeHorizonMs: 30 * dayMs };
export const off: DomainSwitch = { enabled: false, recomputeHorizonMs: 30 * dayMs };
export interface Subject {
  readonly url: string;
  readonly client: Client;
  configure(domain: DomainSwitch, change?: Partial<MigrateOptions>): Promise<boolean>;
  /** Writes as the service does. */
  store(rows: readonly Position[]): Promise<void>;
}

export async function subject(fresh: Fresh): Promise<Subject> {
  const migrated = fresh === freshDatabase;
  const { url, drop } = migrated ? await freshMigrated() : await fresh();
  onTestFinished(drop);
  const configure: Subject['configure'] = async (domain, change = {}) =>
    (await migrate(migrations, migrateOptions(url, { domain, ...change }), silent)).domain;
  if (!migrated) await configure(off);
  return {
    url,
    client: await connect(url),
    configure,
    async store(rows) {
      const writer = createPositionWriter(openPool(url), {
        chunkIntervalMs: dayMs,
        maxChunksPerStatement: 48,
      });
      await writer.write(
        rows,
        rows.map(() => null),
      );
    },
  };
}

export interface OutboxRow {
  readonly id: string;
  readonly device_id: string;
  /** Epoch milliseconds; Infinity: without end. */
  readonly from: number;
  readonly to: number;
}

export async function outbox(client: Client): Promise<OutboxRow[]> {
  const { rows } = await client.query<OutboxRow>(
    `SELECT id, device_id, (extract(epoch FROM from_ts) * 1000)::float8 AS from,
            (extract(epoch FROM to_ts) * 1000)::float8 AS to
       FROM positions.outbox ORDER BY id`,
  );
  return rows;
}

/** Inserts one record: device and time are its parameters. */
export const insertOne = `INSERT INTO public.positions (device_id, ts, altitude, angle, speed, satellites,
    priority, fix, codec, attributes)
  VALUES ($1, $2, 0, 0, 0, 0, 0, false, '8', '{}')`;
