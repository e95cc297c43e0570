import { expect, onTestFinished, test } from 'vitest';
import { readHistory } from '../../src/db/migration-history.ts';
import { migrate } from '../../src/db/migrator.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { planRetention } from '../../src/db/retention.ts';
import { askPostgres } from '../../tools/servers/ask.ts';
import { databaseUrl, freshDatabase, hasTimescaledb } from '../setup/database.ts';
import {
  connect,
  dayMs,
  migrateOptions,
  migrations,
  openPool,
  position,
  silent,
} from './positions.ts';

test.each(['ISO, MDY', 'German, DMY', 'SQL, DMY', 'Postgres, DMY'])(
  'DateStyle %s changes neither the history of migrations nor a plan of retention (F8)',
  async (style) => {
    const { url, drop } = await freshDatabase();
    onTestFinished(drop);
    await migrate(migrations, migrateOptions(url), silent);
    const name = new URL(url).pathname.slice(1);
    const old = Date.now() - 40 * dayMs;
    const writer = createPositionWriter(openPool(url), {
      chunkIntervalMs: dayMs,
      maxChunksPerStatement: 48,
    });
    await writer.write([position({ ts: old })], [null]);
    await askPostgres(databaseUrl(), `ALTER DATABASE ${name} SET datestyle = '${style}'`);
    const client = await connect(url);
    const aroundNow = (date: Date, awayMs: number) =>
      Math.abs(date.getTime() - (Date.now() - awayMs)) < dayMs / 2;

    const history = await readHistory(client, migrations);
    const plan = await planRetention(client, 7 * dayMs);

    expect(history.length).toBeGreaterThan(0);
    for (const entry of history) {
      expect('appliedAt' in entry && aroundNow(entry.appliedAt, 0)).toBe(true);
    }
    expect(aroundNow(plan.cutoff, 7 * dayMs)).toBe(true);
    if (hasTimescaledb()) {
      const end = (Math.floor(old / dayMs) + 1) * dayMs;
      expect(plan).toMatchObject({ kind: 'chunks', chunks: [{ end: new Date(end) }] });
    }
  },
);
