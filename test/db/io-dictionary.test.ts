import type { Client } from 'pg';
import { beforeAll, describe, expect, test } from 'vitest';
import { migrate } from '../../src/db/migrator.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { interpretContent } from '../../src/teltonika/interpret.ts';
import { modelsOf } from '../../src/teltonika/io-dictionary/families.ts';
import { ioRows, meaningsOf } from '../../src/teltonika/io-dictionary/meanings.ts';
import { type IoFamily, ioFamilies, readIo } from '../../src/teltonika/io-names.ts';
import {
  encodeArray,
  encodeRecord,
  type SentIo,
  uint,
  wrapTcp,
} from '../../tools/teltonika/encode.ts';
import { freshDatabase } from '../setup/database.ts';
import {
  connect,
  dayMs,
  deviceId,
  migratedDatabase,
  migrateOptions,
  migrations,
  silent,
  someTime,
} from './positions.ts';

const entries = ioRows.flatMap(meaningsOf);

/** One migrated database for the tests that only read the reference data. */
const reference = { url: '' };

beforeAll(async () => {
  const { url, drop } = await freshDatabase();
  await migrate(migrations, migrateOptions(url), silent);
  reference.url = url;
  return drop;
});

interface SqlReading {
  readonly io_id: number;
  readonly name: string | null;
  readonly value: string | null;
  readonly text_value: string | null;
  readonly unit: string | null;
  readonly note: string | null;
}

async function ioValues(client: Client, attributes: object, family: string): Promise<SqlReading[]> {
  const { rows } = await client.query<SqlReading>('SELECT * FROM positions.io_values($1, $2)', [
    JSON.stringify(attributes),
    family,
  ]);
  return rows;
}

async function ioValue(client: Client, attributes: object, id: number, family?: string) {
  const { rows } = await client.query<{ value: string | null }>(
    family === undefined
      ? 'SELECT positions.io_value($1, $2) AS value'
      : 'SELECT positions.io_value($1, $2, $3) AS value',
    [JSON.stringify(attributes), id, ...(family === undefined ? [] : [family])],
  );
  return rows[0]?.value;
}

describe('a packet, decoded and written, is read with SQL', () => {
  async function writtenRow(io: readonly SentIo[]): Promise<Client> {
    const { database, client } = await migratedDatabase();
    const record = encodeRecord('8E', {
      ts: BigInt(someTime),
      priority: 0,
      longitude: 252_797_000,
      latitude: 546_872_000,
      altitude: 100,
      angle: 90,
      satellites: 9,
      speed: 10,
      eventIoId: 0,
      generationType: 0,
      io,
    });
    const interpretation = interpretContent(
      { form: 'frame', deviceId: deviceId(1), frame: wrapTcp(encodeArray('8E', [record])) },
      { nowMs: someTime, tsMaxPastMs: dayMs, tsMaxFutureMs: dayMs, maxRecords: 255, io16: false },
    );
    if (interpretation.kind !== 'records') throw new Error('expected records');
    const writer = createPositionWriter(database, {
      chunkIntervalMs: dayMs,
      maxChunksPerStatement: 48,
    });
    const outcomes = interpretation.positions.map(() => null);
    await writer.write(interpretation.positions, outcomes);
    expect(outcomes).toEqual(['inserted']);
    return client;
  }

  test('temperatures below zero have their sign and their decimals', async () => {
    const client = await writtenRow([
      { id: 72, group: 4, value: uint(-127, 4) },
      { id: 25, group: 2, value: uint(-1234, 2) },
      { id: 66, group: 2, value: uint(12_345, 2) },
      { id: 78, group: 8, value: uint(0xffff_ffff_ffff_ffffn, 8) },
      { id: 256, group: 'variable', value: Buffer.from('WVWZZZ1JZXW000001') },
    ]);

    const { rows } = await client.query(
      `SELECT positions.io_value(attributes, 72) AS dallas,
              positions.io_value(attributes, 25, 'FMC130') AS ble,
              positions.io_value(attributes, 66) AS volts,
              positions.io_value(attributes, 16) AS absent,
              positions.io_value(attributes, 72, 'XYZ') AS no_model
         FROM public.positions`,
    );
    expect(rows).toEqual([
      { dallas: '-12.7', ble: '-12.34', volts: '12.345', absent: null, no_model: null },
    ]);

    const named = await client.query(
      `SELECT io.io_id, io.name, io.value, io.text_value, io.unit, io.note
         FROM public.positions CROSS JOIN LATERAL positions.io_values(attributes) AS io`,
    );
    const typed = { value: null, text_value: null, unit: null, note: null };
    expect(named.rows).toEqual([
      { ...typed, io_id: 25, name: 'ble_temperature_1', value: '-12.34', unit: '°C' },
      { ...typed, io_id: 66, name: 'external_voltage', value: '12.345', unit: 'V' },
      { ...typed, io_id: 72, name: 'dallas_temperature_1', value: '-12.7', unit: '°C' },
      { ...typed, io_id: 78, name: 'ibutton', text_value: 'ffffffffffffffff' },
      { ...typed, io_id: 256, name: 'vin', text_value: 'WVWZZZ1JZXW000001' },
    ]);
  });
});

test('the table in the database is the dictionary of the decoder, entry by entry', async () => {
  const client = await connect(reference.url);
  const { rows } = await client.query(
    `SELECT io_id AS id, family, width_bytes AS width, kind, name, unit, scale::text, special, source
       FROM positions.io_dictionary ORDER BY family, io_id, width_bytes`,
  );
  const order = (one: (typeof entries)[number], other: (typeof entries)[number]): number =>
    one.family.localeCompare(other.family, 'en') || one.id - other.id || one.width - other.width;
  expect(rows.sort(order)).toEqual([...entries].sort(order));
});

test('the models in the database are those of the decoder', async () => {
  const client = await connect(reference.url);
  const { rows } = await client.query<{ model: string; family: string }>(
    'SELECT model, family FROM positions.io_model',
  );
  const models = ioFamilies.flatMap((family) =>
    [...new Set([family, ...modelsOf(family)])].map((model) => `${model} ${family}`),
  );
  expect(rows.map(({ model, family }) => `${model} ${family}`).sort()).toEqual(models.sort());
});

test('SQL reads every element as the decoder does, at the edges of each width', async () => {
  const edges = [1, 2, 4].flatMap((width) => {
    const span = 2 ** (width * 8);
    return [span / 2 - 1, span / 2, span - 127, span - 1, span];
  });
  const wide = ['9007199254740992', '9223372036854775807', '9223372036854775808'];
  const values: readonly (number | string)[] = [
    0,
    1,
    20,
    850,
    2000,
    3000,
    32_735,
    32_766,
    65_534,
    1.5,
    -3,
    ...edges,
    ...wide,
    '18446744073709551615',
    '18446744073709551616',
    '3544391413610329344',
    '',
    '00',
    '5756575a',
    '57565700',
    '0a',
    '414220002000',
    'zz',
    '0A',
  ];
  const cases = ioFamilies.flatMap((family) => {
    const ids = new Set(entries.filter((each) => each.family === family).map(({ id }) => id));
    return [...ids, 9999].flatMap((id) => values.map((value) => ({ family, id, value })));
  });
  const client = await connect(reference.url);
  const { rows } = await client.query<SqlReading>(
    `SELECT reading.*
       FROM unnest($1::jsonb[], $2::integer[], $3::text[]) WITH ORDINALITY
              AS given (stored, io_id, family, position)
      CROSS JOIN LATERAL positions.io_reading(stored, io_id, family) AS reading
      ORDER BY position`,
    [
      cases.map(({ value }) => JSON.stringify(value)),
      cases.map(({ id }) => id),
      cases.map(({ family }) => family),
    ],
  );
  expect(rows).toHaveLength(cases.length);
  const differing = cases.flatMap(({ family, id, value }, at) => {
    const sql = rows[at];
    const decoder = readIo(id, value, null, family);
    const same =
      sql?.name === decoder.name &&
      sql.unit === decoder.unit &&
      sql.note === decoder.note &&
      (sql.value ?? sql.text_value) === (decoder.value === null ? null : String(decoder.value));
    return same ? [] : [{ family, id, value, sql, decoder }];
  });
  expect(differing).toEqual([]);
});

describe('what is not known', () => {
  test('is the raw value with the reason, and no value at all where a note has no room', async () => {
    const client = await connect(reference.url);
    const attributes = { '70': 65_409, '269': 251, '66': 70_000, '9999': 7, '73': 3000 };
    expect(
      (await ioValues(client, attributes, 'FMB')).map(({ io_id, value, note }) => [
        io_id,
        value,
        note,
      ]),
    ).toEqual([
      [66, '70000', 'unknown_width'],
      [70, '65409', 'unknown_width'],
      [73, null, 'not_connected'],
      [269, '251', 'ambiguous_width'],
      [9999, '7', 'unknown_id'],
    ]);
    for (const id of Object.keys(attributes)) {
      expect(await ioValue(client, attributes, Number(id))).toBeNull();
    }
    expect(await ioValues(client, { '70': 65_409 }, 'FTC305')).toEqual([
      {
        io_id: 70,
        name: 'pcb_temperature',
        value: '-127',
        text_value: null,
        unit: null,
        note: 'unknown_scale',
      },
    ]);
  });

  test.each(['', 'XYZ100', 'FMB930'])('the model %j gives raw values', async (model) => {
    const client = await connect(reference.url);
    expect(await ioValues(client, { '72': 4_294_967_169 }, model)).toMatchObject([
      { name: null, value: '4294967169', unit: null, note: 'unknown_model' },
    ]);
    expect(await ioValue(client, { '72': 4_294_967_169 }, 72, model)).toBeNull();
  });

  test("codec 7's named values are passed over", async () => {
    const client = await connect(reference.url);
    expect(await ioValues(client, { lac: 1, cid: 2, '21': 3 }, 'FMB')).toHaveLength(1);
  });

  test('absent attributes are no rows and no value', async () => {
    const client = await connect(reference.url);
    const { rows } = await client.query(
      `SELECT positions.io_value(NULL, 72) AS value,
              (SELECT count(*)::integer FROM positions.io_values(NULL)) AS many`,
    );
    expect(rows).toEqual([{ value: null, many: 0 }]);
  });
});

describe('the reference', () => {
  const role = 'io_dictionary_reader';

  test('is read by every role and written by none that was not granted it', async () => {
    const client = await connect(reference.url);
    await client.query('BEGIN');
    await client.query(`CREATE ROLE ${role}`);
    await client.query(`SET LOCAL ROLE ${role}`);
    const { rows } = await client.query(
      `SELECT positions.io_value('{"72": 4294967169}', 72) AS value`,
    );
    expect(rows).toEqual([{ value: '-12.7' }]);
    for (const table of ['io_dictionary', 'io_model']) {
      await client.query('SAVEPOINT before');
      await expect(client.query(`DELETE FROM positions.${table}`)).rejects.toMatchObject({
        code: '42501',
      });
      await client.query('ROLLBACK TO before');
    }
    await client.query('ROLLBACK');
  });

  test('is not fooled by the caller’s search_path', async () => {
    const client = await connect(reference.url);
    await client.query('CREATE TEMP TABLE io_dictionary (name text)');
    await client.query('SET search_path = pg_temp');
    expect(await ioValue(client, { '66': 12_345 }, 66)).toBe('12.345');
  });

  test('may be asked by parallel workers, and its plans are kept stable', async () => {
    const client = await connect(reference.url);
    const { rows } = await client.query(
      `SELECT DISTINCT provolatile, proparallel, proconfig IS NOT NULL AS pinned
         FROM pg_proc WHERE pronamespace = 'positions'::regnamespace AND proname LIKE 'io\\_%'`,
    );
    expect(rows).toEqual([{ provolatile: 's', proparallel: 's', pinned: true }]);
  });
});

test.each<[IoFamily, number, number, string]>([
  ['FMB', 72, 0xffff_ff81, '-12.7'],
  ['FM6', 72, 0xff81, '-12.7'],
  ['FM63', 72, 0xff81, '-12.7'],
  ['FM36', 72, 0xff81, '-12.7'],
  ['FT', 25, 0xff81, '-12.7'],
  ['TAT', 10800, 0xfb5d, '-11.87'],
])('on %s, IO %i of %i is %s °C', async (family, id, raw, celsius) => {
  const client = await connect(reference.url);
  expect(await ioValue(client, { [id]: raw }, id, family)).toBe(celsius);
});
