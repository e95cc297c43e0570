import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Client } from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { describePolicies } from '../../src/db/policies.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { describeTimescaledb, freshDatabase } from '../setup/database.ts';
import { serverProgram } from '../setup/server-program.ts';
import {
  connect,
  dayMs,
  deviceId,
  migratedDatabase,
  migrateOptions,
  migrations,
  openPool,
  position,
  silent,
  someTime,
} from './positions.ts';

const run = promisify(execFile);
// So late that the policy's own job compresses nothing while the test does.
const policies = { columnstoreAfterMs: 3600 * dayMs, retentionMs: 3650 * dayMs };
const writerOptions = { chunkIntervalMs: dayMs, maxChunksPerStatement: 48 };

async function content(client: Client): Promise<unknown> {
  const { rows } = await client.query(
    `SELECT count(*)::int AS rows, md5(string_agg(p::text, E'\\n' ORDER BY device_id, ts)) AS content,
            (SELECT count(*)::int FROM positions.devices) AS devices,
            (SELECT count(*)::int FROM public.show_chunks('public.positions')) AS chunks,
            (SELECT string_agg(version || checksum, ' ' ORDER BY version) FROM public.processor_migrations)
              AS migrations
       FROM public.positions AS p`,
  );
  return rows[0];
}

/** The restore of OPERATIONS.md, "Restore a backup", step by step. */
async function restore(url: string, dump: string, pgRestore: string): Promise<void> {
  const client = await connect(url);
  await client.query('CREATE EXTENSION timescaledb');
  await client.query('SELECT timescaledb_pre_restore()');
  await run(pgRestore, ['--no-owner', '--exit-on-error', '--dbname', url, dump]);
  await client.query('SELECT timescaledb_post_restore()');
  await client.query('ANALYZE positions');
}

describeTimescaledb('a backup', () => {
  test('restored into an empty database is the same, and the service continues with it', async ({
    skip,
  }) => {
    const { client, url, database } = await migratedDatabase(policies);
    const pgDump = await serverProgram(url, 'pg_dump');
    const pgRestore = await serverProgram(url, 'pg_restore');
    if (pgDump === null || pgRestore === null) {
      skip('needs pg_dump and pg_restore of the server’s version');
      return;
    }
    const stored = Array.from({ length: 2000 }, (_, index) =>
      position({ deviceId: deviceId(index % 10), ts: someTime + index * 120_000 }),
    );
    const none = stored.map(() => null);
    await createPositionWriter(database, writerOptions).write(stored, none);
    const { edition } = await describePolicies(client);
    if (edition === 'community') {
      await client.query(
        "SELECT public.compress_chunk(c) FROM public.show_chunks('public.positions') AS c LIMIT 2",
      );
    }
    const before = await content(client);
    const inForce = await describePolicies(client);
    const folder = await mkdtemp(join(tmpdir(), 'processor-backup-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const dump = join(folder, 'positions.dump');

    await run(pgDump, ['--format=custom', '--file', dump, url]);
    const { url: restoredUrl, drop } = await freshDatabase();
    onTestFinished(drop);
    await restore(restoredUrl, dump, pgRestore);

    const restored = await connect(restoredUrl);
    expect(await content(restored)).toEqual(before);
    expect(before).toMatchObject({ rows: 2000, devices: 10 });
    expect(await describePolicies(restored)).toEqual(inForce);
    expect(inForce.compressedChunks).toBe(edition === 'community' ? 2 : 0);

    const options = migrateOptions(restoredUrl, { ...policies, mode: 'verify' });
    const { applied, storage } = await migrate(migrations, options, silent);
    expect([applied, storage.kind]).toEqual([[], 'hypertable']);
    // Late, stored already, new, and of a new device, into what was restored.
    const rows = [
      position({ deviceId: deviceId(1), ts: someTime + 60_000 }),
      ...stored.slice(0, 1),
      position({ deviceId: deviceId(1), ts: someTime + 300 * dayMs }),
      position({ deviceId: deviceId(99), ts: someTime + 300 * dayMs }),
    ];
    const outcomes = rows.map(() => null);
    await createPositionWriter(openPool(restoredUrl), writerOptions).write(rows, outcomes);
    expect(outcomes).toEqual(['inserted', 'duplicate', 'inserted', 'inserted']);
    const { rows: known } = await restored.query(
      'SELECT count(*)::int AS n FROM positions.last_positions',
    );
    expect(known).toEqual([{ n: 11 }]);
  });
});
