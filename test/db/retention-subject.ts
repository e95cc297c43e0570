import type { Client } from 'pg';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { countOldRows, type RetentionPlan } from '../../src/db/retention.ts';
import type { Fresh } from '../setup/hypertable.ts';
import { dayMs, deviceId, migratedDatabase, position } from './positions.ts';

export const retentionMs = 100 * dayMs;
export const now = Date.now();
export const never = new AbortController().signal;

/** Rows of two devices, one a day; the second device is silent for the last 150 days. */
export async function filled(fresh: Fresh): Promise<{ client: Client; url: string }> {
  const { database, client, url } = await migratedDatabase({ chunkIntervalMs: 10 * dayMs }, fresh);
  const writer = createPositionWriter(database, {
    chunkIntervalMs: 10 * dayMs,
    maxChunksPerStatement: 48,
  });
  const rows = Array.from({ length: 200 }, (_, age) => [
    position({ ts: now - age * dayMs }),
    ...(age < 150 ? [] : [position({ ts: now - age * dayMs, deviceId: deviceId(2) })]),
  ]).flat();
  await writer.write(
    rows,
    rows.map(() => null),
  );
  return { client, url };
}

export async function ages(client: Client): Promise<{ oldest: number; rows: number }> {
  const { rows } = await client.query<{ oldest: Date; rows: number }>(
    'SELECT min(ts) AS oldest, count(*)::int AS rows FROM public.positions',
  );
  const [found] = rows;
  return {
    oldest: Math.round((now - (found?.oldest.getTime() ?? 0)) / dayMs),
    rows: found?.rows ?? 0,
  };
}

export async function devices(client: Client): Promise<unknown[]> {
  const { rows } = await client.query<{ device_id: string }>(
    'SELECT device_id FROM positions.devices ORDER BY 1',
  );
  return rows.map(({ device_id }) => device_id);
}

export async function sizeOf(client: Client, plan: RetentionPlan): Promise<number> {
  return plan.kind === 'chunks' ? plan.chunks.length : await countOldRows(client, plan, never);
}
