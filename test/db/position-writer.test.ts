import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import type { Outcomes, Position } from '../../src/core/types.ts';
import { createPositionWriter, type PositionWriter } from '../../src/db/position-writer.ts';
import { testLimitMs } from '../faults/mode.ts';
import { connect, dayMs, deviceId, migratedDatabase, position, someTime } from './positions.ts';

const options = { chunkIntervalMs: dayMs, maxChunksPerStatement: 48 };

async function freshWriter(): Promise<{ writer: PositionWriter; client: Client; url: string }> {
  const { database, client, url } = await migratedDatabase();
  return { writer: createPositionWriter(database, options), client, url };
}

function unsettled(rows: readonly Position[]): Outcomes {
  return rows.map(() => null);
}

async function write(writer: PositionWriter, rows: readonly Position[]): Promise<Outcomes> {
  const outcomes = unsettled(rows);
  await writer.write(rows, outcomes);
  return outcomes;
}

async function count(client: Client): Promise<number> {
  const { rows } = await client.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM public.positions',
  );
  return rows[0]?.n ?? Number.NaN;
}

function seconds(many: number, change: (index: number) => Partial<Position> = () => ({})) {
  return Array.from({ length: many }, (_, index) =>
    position({ ts: someTime + index * 1000, recordIndex: index, ...change(index) }),
  );
}

describe('rows of new keys', () => {
  test('are inserted with every value as it was', async () => {
    const { writer, client } = await freshWriter();

    expect(await write(writer, [position({ generationType: 5, angle: 359.5 })])).toEqual([
      'inserted',
    ]);

    const { rows } = await client.query(
      `SELECT device_id, (extract(epoch FROM ts) * 1000)::float8 AS ts, latitude, longitude,
              altitude, angle, speed, satellites, priority, fix, event_io_id, generation_type,
              codec, attributes, ingested_at > now() - interval '1 hour' AS recent
         FROM public.positions`,
    );
    expect(rows).toEqual([
      {
        device_id: deviceId(1),
        ts: someTime,
        latitude: 54.7146,
        longitude: 25.3032,
        altitude: 111,
        angle: 359.5,
        speed: 42,
        satellites: 9,
        priority: 1,
        fix: true,
        event_io_id: 240,
        generation_type: 5,
        codec: '8',
        attributes: { '21': 4, '66': 12345 },
        recent: true,
      },
    ]);
  });

  test('a record without any position is stored with null', async () => {
    const { writer, client } = await freshWriter();
    const row = position({ latitude: null, longitude: null, fix: false, satellites: 0 });

    expect(await write(writer, [row])).toEqual(['inserted']);
    expect(await write(writer, [row])).toEqual(['duplicate']);
    const { rows } = await client.query('SELECT latitude, longitude FROM public.positions');
    expect(rows).toEqual([{ latitude: null, longitude: null }]);
  });

  test('a whole batch takes one statement', async () => {
    const { writer } = await freshWriter();
    const rows = seconds(1000);

    expect(await writer.write(rows, unsettled(rows))).toBe(1);
  });

  test('an empty batch takes none', async () => {
    const { writer } = await freshWriter();

    expect(await writer.write([], [])).toBe(0);
  });

  test('rows whose outcome is known already are left alone', async () => {
    const { writer, client } = await freshWriter();
    const rows = seconds(3);
    const outcomes: Outcomes = ['inserted', null, 'conflict'];

    await writer.write(rows, outcomes);

    expect(outcomes).toEqual(['inserted', 'inserted', 'conflict']);
    expect(await count(client)).toBe(1);
  });
});

describe('a key that is stored already', () => {
  test('with the same content is a duplicate', async () => {
    const { writer, client } = await freshWriter();
    const rows = seconds(100);
    await write(writer, rows);

    expect(new Set(await write(writer, rows))).toEqual(new Set(['duplicate']));
    expect(await count(client)).toBe(100);
  });

  test.each<[string, Partial<Position>]>([
    ['other codec', { codec: '8E' }],
    ['other order of attributes', { attributes: '{"66":12345,"21":4}' }],
    ['other white space in attributes', { attributes: '{ "21": 4, "66": 12345.0 }' }],
    ['another position in its packet', { recordIndex: 7 }],
  ])('with %s is a duplicate', async (_name, change) => {
    const { writer } = await freshWriter();
    await write(writer, [position()]);

    expect(await write(writer, [position(change)])).toEqual(['duplicate']);
  });

  test.each<[string, Partial<Position>]>([
    ['latitude', { latitude: 54.7147 }],
    ['longitude', { longitude: -25.3032 }],
    ['altitude', { altitude: 112 }],
    ['angle', { angle: 215 }],
    ['speed', { speed: 43 }],
    ['satellites', { satellites: 10 }],
    ['priority', { priority: 0 }],
    ['fix', { fix: false }],
    ['event', { eventIoId: null }],
    ['generation type', { generationType: 0 }],
    ['attributes', { attributes: '{"21":4,"66":12346}' }],
    ['no position', { latitude: null, longitude: null, fix: false }],
  ])('with other %s is a conflict, and the first version stays', async (_name, change) => {
    const { writer, client } = await freshWriter();
    await write(writer, [position()]);

    expect(await write(writer, [position(change)])).toEqual(['conflict']);
    expect(await write(writer, [position()])).toEqual(['duplicate']);
    expect(await count(client)).toBe(1);
  });
});

describe('a key several times in one batch', () => {
  test('the first is inserted, its copies are duplicates, other versions conflicts', async () => {
    const { writer, client } = await freshWriter();
    const other = position({ deviceId: deviceId(2) });

    const outcomes = await write(writer, [
      position(),
      other,
      position({ codec: '8E' }),
      position({ speed: 1 }),
      position({ attributes: '{"66":12345,"21":4}' }),
    ]);

    expect(outcomes).toEqual(['inserted', 'inserted', 'duplicate', 'conflict', 'duplicate']);
    const { rows } = await client.query('SELECT speed FROM public.positions ORDER BY device_id');
    expect(rows).toEqual([{ speed: 42 }, { speed: 42 }]);
  });

  test('if the first of them cannot be stored, the next one is inserted', async () => {
    const { writer } = await freshWriter();
    const bad = position({ speed: 70_000 });

    expect(await write(writer, [bad, position(), bad, position()])).toEqual([
      expect.objectContaining({ reason: 'row_constraint_violated' }),
      'inserted',
      'conflict',
      'duplicate',
    ]);
  });
});

describe('rows the database refuses', () => {
  test.each<[string, Partial<Position>, string]>([
    ['not a number', { latitude: Number.NaN }, 'positions_latitude_range'],
    ['infinite', { longitude: Number.NEGATIVE_INFINITY }, 'positions_longitude_range'],
    ['half a position', { latitude: null }, 'positions_'],
    ['a fix without satellites', { satellites: 0 }, 'positions_fix_has_position'],
    ['angle not a number', { angle: Number.NaN }, 'positions_angle_range'],
    ['speed', { speed: -1 }, 'positions_speed_range'],
    ['altitude', { altitude: 65_536 }, 'positions_altitude_range'],
    ['attributes', { attributes: '[]' }, 'positions_attributes_object'],
  ])('%s: the constraint is named, no value is', async (_name, change, constraint) => {
    const { writer, client } = await freshWriter();

    const [outcome] = await write(writer, [position(change)]);

    expect(outcome).toMatchObject({
      reason: 'row_constraint_violated',
      message: expect.stringContaining(`23514 by constraint ${constraint}`),
    });
    expect(JSON.stringify(outcome)).not.toContain(deviceId(1));
    expect(await count(client)).toBe(0);
  });

  test.each(['{"1":}', '{"1":"\\u0000"}', '', `{"1":1e${'9'.repeat(9)}}`])(
    'attributes %j are a value error',
    async (attributes) => {
      const { writer } = await freshWriter();

      expect(await write(writer, [position({ attributes })])).toMatchObject([
        { reason: 'row_value_invalid' },
      ]);
    },
  );

  test('one bad row in 1,000 takes none of its neighbours along, in few statements', async () => {
    const { writer, client } = await freshWriter();
    const bad = 613;
    const rows = seconds(1000, (index) => (index === bad ? { speed: 70_000 } : {}));
    const outcomes = unsettled(rows);

    const statements = await writer.write(rows, outcomes);

    expect(outcomes.filter((outcome) => outcome === 'inserted')).toHaveLength(999);
    expect(outcomes[bad]).toMatchObject({ reason: 'row_constraint_violated' });
    expect(await count(client)).toBe(999);
    // And one comparison: the refused row could be stored already.
    expect(statements).toBeLessThanOrEqual(2 + 2 * Math.ceil(Math.log2(1000)));
  });

  test('when all rows are bad each has its own reason, in less than 2n inserts and two probes', async () => {
    const { writer, client } = await freshWriter();
    const rows = seconds(64, () => ({ attributes: '[]' }));
    const outcomes = unsettled(rows);

    const statements = await writer.write(rows, outcomes);

    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ reason: 'row_constraint_violated' });
    }
    expect(statements).toBeLessThanOrEqual(2 * 64 - 1 + 2 * 24 + 2);
    expect(await count(client)).toBe(0);
  });

  test('bad, stored and new rows in one batch each get their own outcome', async () => {
    const { writer } = await freshWriter();
    const stored = seconds(10);
    await write(writer, stored);
    const rows = seconds(30, (index) => {
      if (index === 5) return { speed: 1 };
      return index === 25 ? { attributes: '[]' } : {};
    });

    const outcomes = await write(writer, rows);

    expect(outcomes.slice(0, 10)).toEqual(
      stored.map((_, index) => (index === 5 ? 'conflict' : 'duplicate')),
    );
    expect(outcomes[25]).toMatchObject({ reason: 'row_constraint_violated' });
    expect(outcomes.filter((outcome) => outcome === 'inserted')).toHaveLength(19);
  });
});

describe('a database that is not set up', () => {
  test.each([
    ['a missing table', 'ALTER TABLE public.positions RENAME TO elsewhere', '42P01'],
    ['a missing column', 'ALTER TABLE public.positions RENAME COLUMN speed TO velocity', '42703'],
  ])('%s waits for a person and settles no row', async (_name, statement, code) => {
    const { writer, client } = await freshWriter();
    await client.query(statement);
    const rows = seconds(3);
    const outcomes = unsettled(rows);

    await expect(writer.write(rows, outcomes)).rejects.toMatchObject({
      name: 'DependencyError',
      dependency: 'database',
      kind: 'configuration',
      code,
    });
    expect(outcomes).toEqual([null, null, null]);
  });

  test('a failed write resumes where it stopped, with the same outcomes', async () => {
    const { writer, client } = await freshWriter();
    const rows = seconds(5);
    const outcomes = unsettled(rows);
    await client.query('ALTER TABLE public.positions RENAME TO elsewhere');
    await expect(writer.write(rows, outcomes)).rejects.toThrow('42P01');
    await client.query('ALTER TABLE elsewhere RENAME TO positions');

    await writer.write(rows, outcomes);

    expect(outcomes).toEqual(rows.map(() => 'inserted'));
  });
});

describe('a comparison that the server does not finish in time', () => {
  /** Holds the comparison up behind a lock on the table that is asked for while the insert runs. */
  async function cancelledComparison(rows: readonly Position[]): Promise<Outcomes | Error> {
    const { writer, client, url } = await freshWriter();
    await write(writer, rows);
    await client.query(`CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
      CREATE TRIGGER hold AFTER INSERT ON public.positions FOR EACH STATEMENT EXECUTE FUNCTION hold();
      SELECT pg_advisory_lock(1)`);
    const locker = await connect(url);
    const waiting = async (type: string, many: number) => {
      const count = `SELECT FROM pg_locks JOIN pg_database AS d ON d.oid = database
        WHERE NOT granted AND locktype = '${type}' AND datname = current_database()`;
      while ((await client.query(count)).rowCount !== many) await client.query('SELECT 1');
    };

    const writing = write(writer, rows).catch((error: Error) => error);
    await waiting('advisory', 1);
    await locker.query('BEGIN');
    const locking = locker.query('LOCK TABLE public.positions IN ACCESS EXCLUSIVE MODE');
    await waiting('relation', 1);
    await client.query('SELECT pg_advisory_unlock(1)');
    await locking;
    await waiting('relation', 1);
    await client.query(`SELECT pg_cancel_backend(pid) FROM pg_stat_activity
      WHERE application_name = 'processor:test' AND datname = current_database()
        AND wait_event_type = 'Lock'`);
    await locker.query('COMMIT');
    return await writing;
  }

  test('is asked in halves', async () => {
    const rows = seconds(500);

    expect(await cancelledComparison(rows)).toEqual(rows.map(() => 'duplicate'));
  });

  test('of few rows is tried again later: the server is at its end', async () => {
    expect(await cancelledComparison(seconds(5))).toMatchObject({
      name: 'DependencyError',
      kind: 'unavailable',
      code: '57014',
    });
  });
});

test('rows that are stored already are compared a chunk at a time', async () => {
  const { writer } = await freshWriter();
  const rows = seconds(90, (index) => ({ ts: someTime + (index % 3) * dayMs + index * 1000 }));
  await write(writer, rows);
  const outcomes = unsettled(rows);

  expect(await writer.write(rows, outcomes)).toBe(1 + 3);
  expect(new Set(outcomes)).toEqual(new Set(['duplicate']));
});

describe('a batch behind one whose rows were all stored already', () => {
  async function replaying(): Promise<{ writer: PositionWriter; client: Client }> {
    const opened = await freshWriter();
    const rows = seconds(3);
    await write(opened.writer, rows);
    expect(await write(opened.writer, rows)).toEqual(['duplicate', 'duplicate', 'duplicate']);
    return opened;
  }

  test('is compared before any insert: duplicates and conflicts take one statement', async () => {
    const { writer } = await replaying();
    const rows = seconds(3, (index) => (index === 1 ? { speed: 77 } : {}));
    const outcomes = unsettled(rows);

    expect(await writer.write(rows, outcomes)).toBe(1);
    expect(outcomes).toEqual(['duplicate', 'conflict', 'duplicate']);
  });

  test('with a new row among the stored, it is inserted as ever', async () => {
    const { writer, client } = await replaying();

    expect(await write(writer, seconds(4))).toEqual([
      'duplicate',
      'duplicate',
      'duplicate',
      'inserted',
    ]);
    expect(await count(client)).toBe(4);
  });

  test('with a row that the database refuses, it loses only that', async () => {
    const { writer } = await replaying();
    const rows = seconds(3, (index) => (index === 2 ? { attributes: '{"1":}' } : {}));

    expect(await write(writer, rows)).toEqual([
      'duplicate',
      'duplicate',
      expect.objectContaining({ reason: expect.any(String) }),
    ]);
  });

  test('of new rows only, it is inserted, and the next needs one statement again', async () => {
    const { writer } = await replaying();
    await write(
      writer,
      seconds(5, (index) => ({ ts: someTime + 60_000 + index })),
    );
    const rows = seconds(5, (index) => ({ ts: someTime + 120_000 + index }));

    expect(await writer.write(rows, unsettled(rows))).toBe(1);
  });
});

test('two writers with the same rows at once store each once and never deadlock', async () => {
  const { database, client } = await migratedDatabase();
  const writer = createPositionWriter(database, options);
  const rows = seconds(500);
  const reversed = rows.toReversed();

  const [first, second] = await Promise.all([write(writer, rows), write(writer, reversed)]);

  const all = [...first, ...second];
  expect(all.filter((outcome) => outcome === 'inserted')).toHaveLength(500);
  expect(all.filter((outcome) => outcome === 'duplicate')).toHaveLength(500);
  expect(await count(client)).toBe(500);
});

test('two writers of the same devices in opposite order do not deadlock', async () => {
  const { database, client } = await migratedDatabase();
  const writer = createPositionWriter(database, options);
  const rows = seconds(300, (index) => ({ deviceId: deviceId(index) }));
  const later = rows.map((row) => ({ ...row, ts: row.ts + dayMs }));

  await Promise.all([rows, later.toReversed(), later].map((batch) => write(writer, batch)));

  const { rows: devices } = await client.query('SELECT FROM positions.devices');
  expect(devices).toHaveLength(300);
});

test(
  '1,000 rows on 1,000 days are all stored',
  async () => {
    const { writer, client } = await freshWriter();
    const rows = Array.from({ length: 1000 }, (_, index) =>
      position({ ts: someTime - index * dayMs }),
    );

    expect(new Set(await write(writer, rows))).toEqual(new Set(['inserted']));
    expect(await count(client)).toBe(1000);
    expect(new Set(await write(writer, rows))).toEqual(new Set(['duplicate']));
  },
  testLimitMs,
);
