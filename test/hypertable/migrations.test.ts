import { expect, onTestFinished, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import {
  connect,
  dayMs,
  deviceId,
  migrateOptions,
  migrations,
  openPool,
  position,
  silent,
  someTime,
} from '../db/positions.ts';
import { compressAll, fingerprint, goBack } from '../db/stored-table.ts';
import { describeHypertable } from '../setup/hypertable.ts';

const options = { chunkIntervalMs: dayMs, maxChunksPerStatement: 48 };
const days = 3;

/** Rows of several devices in several chunks, some without a fix. */
const rows = Array.from({ length: days * 40 }, (_, index) =>
  position({
    deviceId: deviceId(1 + (index % 4)),
    ts: someTime + (index % days) * dayMs + index * 1000,
    ...(index % 10 === 0 ? { latitude: null, longitude: null, fix: false, satellites: 0 } : {}),
  }),
);

describeHypertable('every migration and its down migration', (fresh) => {
  test('change no row of several compressed chunks', async () => {
    const { url, drop } = await fresh();
    onTestFinished(drop);
    // So late that the policy's own job compresses nothing while the test does.
    const policies = { columnstoreAfterMs: 3650 * dayMs };
    await migrate(migrations.slice(0, 1), migrateOptions(url, policies), silent);
    const outcomes = rows.map(() => null);
    await createPositionWriter(openPool(url), options).write(rows, outcomes);
    expect(new Set(outcomes)).toEqual(new Set(['inserted']));
    const client = await connect(url);
    expect(await compressAll(client)).toBe(days);
    const before = await fingerprint(client);

    for (const { version } of migrations.slice(1)) {
      await migrate(migrations.slice(0, version), migrateOptions(url, policies), silent);
      expect(await fingerprint(client), `up to ${version}`).toEqual(before);
    }
    for (const migration of migrations.slice(1).toReversed()) {
      await goBack(client, migration);
      expect(await fingerprint(client), `back from ${migration.version}`).toEqual(before);
    }
    await migrate(migrations, migrateOptions(url, policies), silent);
    expect(await fingerprint(client)).toEqual(before);
  });
});
