import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { type FreshDatabase, freshDatabase } from '../setup/database.ts';
import { migrateOptions, migrations, openClient, silent } from './positions.ts';

describe('positions.metres_between', () => {
  let database: FreshDatabase;
  let client: Client;
  // It reads no table, so one database serves all.
  beforeAll(async () => {
    database = await freshDatabase();
    await migrate(migrations, migrateOptions(database.url), silent);
    client = await openClient(database.url);
  });
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  const metres = async (...coordinates: (number | null)[]) => {
    const { rows } = await client.query(
      'SELECT positions.metres_between($1, $2, $3, $4) AS m',
      coordinates,
    );
    return rows[0];
  };

  test.each([
    ['the same position', [54.7, 25.3, 54.7, 25.3], 0],
    ['a degree of latitude', [10, 20, 11, 20], 111_195],
    ['a degree of longitude at 60° north', [60, 20, 60, 21], 55_597],
    ['across the date line', [0, 179.5, 0, -179.5], 111_195],
    ['opposite points', [0, 0, 0, 180], 20_015_114],
    ['pole to pole', [90, 10, -90, -170], 20_015_114],
    // By an independent calculator on the same sphere.
    ['Vilnius to Berlin', [54.6872, 25.2797, 52.52, 13.405], 818_551],
  ])('%s', async (_, coordinates, expected) => {
    expect(await metres(...coordinates)).toEqual({ m: expect.closeTo(expected, -0.5) });
  });

  test('is unknown if a position is', async () => {
    expect(await metres(null, 1, 2, 3)).toEqual({ m: null });
  });
});
