import { readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import type { Outcomes } from '../../src/core/types.ts';
import { migrate } from '../../src/db/migrator.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { startPostgres } from '../../tools/servers/postgres.ts';
import {
  connect,
  dayMs,
  migrateOptions,
  migrations,
  openPool,
  position,
  silent,
} from '../db/positions.ts';
import { testLimitMs } from '../faults/mode.ts';
import { describeTimescaledb } from '../setup/database.ts';

const days = 250;

/** The runbook's statement, which makes one drop_chunks a chunk for psql's \gexec. */
function runbookStatement(): string {
  const page = readFileSync(new URL('../../OPERATIONS.md', import.meta.url), 'utf8');
  const found = /### ProcessorManyChunks[\s\S]*?```sql\n([\s\S]*?)\\gexec/.exec(page);
  return found?.[1] ?? '';
}

describeTimescaledb('a hypertable with more chunks than the lock table holds', () => {
  test(
    'cannot be emptied by one drop_chunks, and the runbook can',
    async () => {
      const server = await startPostgres({
        settings: { max_locks_per_transaction: '10', max_connections: '20' },
      });
      onTestFinished(() => server.stop());
      await migrate(migrations, migrateOptions(server.url), silent);
      const client = await connect(server.url);
      const writer = createPositionWriter(openPool(server.url), {
        chunkIntervalMs: dayMs,
        maxChunksPerStatement: 10,
      });
      const oldest = Date.now() - 6 * 366 * dayMs;
      const rows = Array.from({ length: days }, (_, day) => position({ ts: oldest + day * dayMs }));
      const outcomes: Outcomes = rows.map(() => null);
      await writer.write(rows, outcomes);
      expect(new Set(outcomes)).toEqual(new Set(['inserted']));

      await expect(
        client.query("SELECT drop_chunks('positions', older_than => now() - interval '5 years')"),
      ).rejects.toMatchObject({ code: '53200' });

      const { rows: drops } = await client.query<{ format: string }>(runbookStatement());
      expect(drops).toHaveLength(days);
      for (const { format } of drops) await client.query(format);
      expect((await client.query("SELECT show_chunks('positions')")).rowCount).toBe(0);
    },
    testLimitMs,
  );
});
