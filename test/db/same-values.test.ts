import { expect, test } from 'vitest';
import type { Position } from '../../src/core/types.ts';
import {
  compareStatement,
  encodeComparison,
  hasSameValues,
  positionColumns,
} from '../../src/db/position-columns.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { dayMs, migratedDatabase, position } from './positions.ts';

const stored = position({ generationType: 5 });

/** For each column of the content, a row that differs from `stored` in this column alone. */
const changes: Readonly<Record<string, Partial<Position>>> = {
  latitude: { latitude: 54.7147 },
  longitude: { longitude: null },
  altitude: { altitude: 112 },
  angle: { angle: 215 },
  speed: { speed: 0 },
  satellites: { satellites: 10 },
  priority: { priority: 2 },
  fix: { fix: false },
  event_io_id: { eventIoId: null },
  generation_type: { generationType: null },
  attributes: { attributes: '{"21":5,"66":12345}' },
};
const others = ['device_id', 'ts', 'codec'];

test('every column is either content, with a row below, or left out of the comparison', () => {
  expect(positionColumns.map(({ name }) => name).toSorted()).toEqual(
    [...Object.keys(changes), ...others].toSorted(),
  );
});

test('rows with the same values have the same content for the database too, and others do not', async () => {
  const { database, client } = await migratedDatabase();
  const options = { chunkIntervalMs: dayMs, maxChunksPerStatement: 48 };
  await createPositionWriter(database, options).write([stored], [null]);

  const databaseSays = async (row: Position) => {
    const values = encodeComparison([row]);
    const { rows } = await client.query<{ same: boolean }>(compareStatement, values);
    return rows.map(({ same }) => same);
  };
  const cases = [...Object.entries(changes), ['codec', { codec: '8E' }] as const];
  for (const [name, change] of cases) {
    const row = position({ ...stored, ...change });
    expect(hasSameValues(stored, row), name).toBe(name === 'codec');
    expect(await databaseSays(row), name).toEqual([name === 'codec']);
  }
});

test('the same attributes in another order are the same for the database alone', async () => {
  const { database, client } = await migratedDatabase();
  const options = { chunkIntervalMs: dayMs, maxChunksPerStatement: 48 };
  await createPositionWriter(database, options).write([stored], [null]);

  const row = position({ ...stored, attributes: '{"66":12345,"21":4}' });
  const { rows } = await client.query(compareStatement, encodeComparison([row]));
  expect(hasSameValues(stored, row)).toBe(false);
  expect(rows).toEqual([{ ord: 1, same: true }]);
});
