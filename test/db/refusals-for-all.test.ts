import { describe, expect, test } from 'vitest';
import type { Outcomes } from '../../src/core/types.ts';
import { hasTimescaledb } from '../setup/database.ts';
import { someTime } from './positions.ts';
import { countRows, refusingDatabase, rowsFrom } from './refusing.ts';

interface SetUp {
  readonly name: string;
  readonly sql: string;
  readonly repair: string;
  readonly code: string;
  /** What the message names: the thing at fault, and what to do. */
  readonly names: RegExp;
  /** Not to be had on a hypertable. */
  readonly plainOnly?: true;
}

const always = (name: string, body: string) => `
  CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body} END $$;
  CREATE TRIGGER ${name} BEFORE INSERT ON public.positions FOR EACH ROW EXECUTE FUNCTION ${name}();`;

const setUps: readonly SetUp[] = [
  {
    name: 'a NOT NULL column of another application (F7)',
    sql: `ALTER TABLE public.positions ADD COLUMN tenant int DEFAULT 0;
      ALTER TABLE public.positions ALTER COLUMN tenant SET NOT NULL, ALTER COLUMN tenant DROP DEFAULT`,
    repair: 'ALTER TABLE public.positions DROP COLUMN tenant',
    code: '23502',
    names: /column tenant.*default/,
  },
  {
    name: 'a CHECK that nothing fulfils',
    sql: 'ALTER TABLE public.positions ADD CONSTRAINT never CHECK (speed < 0) NOT VALID',
    repair: 'ALTER TABLE public.positions DROP CONSTRAINT never',
    code: '23514',
    names: /constraint .*never/,
  },
  {
    name: 'a foreign key to an empty table',
    sql: `CREATE TABLE known (device_id text PRIMARY KEY);
      ALTER TABLE public.positions ADD CONSTRAINT known_device FOREIGN KEY (device_id) REFERENCES known NOT VALID`,
    repair: 'ALTER TABLE public.positions DROP CONSTRAINT known_device',
    code: '23503',
    names: /constraint .*known_device/,
  },
  {
    name: 'a trigger that always raises',
    sql: always('refuse_all', "RAISE EXCEPTION 'closed: %', NEW.device_id;"),
    repair: 'DROP TRIGGER refuse_all ON positions',
    code: 'P0001',
    names: /function public.refuse_all/,
  },
  {
    name: 'a trigger whose function names no schema',
    sql: `CREATE TABLE noted (n integer);
      GRANT INSERT ON noted TO PUBLIC;
      ${always('note_rows', 'INSERT INTO noted VALUES (1); RETURN NEW;')}`,
    repair: 'ALTER FUNCTION note_rows() SET search_path = public',
    code: '42P01',
    names: /function public.note_rows.*SET search_path/,
  },
  {
    name: 'a trigger that skips all',
    sql: always('swallow', 'RETURN NULL;'),
    repair: 'DROP TRIGGER swallow ON positions',
    code: 'ROWS_VANISHED',
    names: /trigger swallow/,
  },
  {
    name: 'row-level security without a policy',
    sql: `ALTER TABLE public.positions ENABLE ROW LEVEL SECURITY;
      CREATE POLICY all_rows ON public.positions FOR SELECT USING (true)`,
    repair: 'ALTER TABLE public.positions DISABLE ROW LEVEL SECURITY',
    code: '42501',
    names: /row-level security.*policy FOR INSERT/,
  },
  {
    name: 'no right to insert',
    sql: "DO $$ BEGIN EXECUTE format('REVOKE INSERT ON public.positions FROM %s', (SELECT rolname FROM pg_roles JOIN pg_class ON relname = 'positions' AND relacl::text LIKE '%' || rolname || '=%' WHERE rolname LIKE 'processor_test_w_%' LIMIT 1)); END $$",
    repair:
      "DO $$ BEGIN EXECUTE format('GRANT INSERT ON public.positions TO %s', (SELECT rolname FROM pg_roles JOIN pg_class ON relname = 'positions' AND relacl::text LIKE '%' || rolname || '=%' WHERE rolname LIKE 'processor_test_w_%' LIMIT 1)); END $$",
    code: '42501',
    names: /grant SELECT and INSERT/,
  },
  {
    name: 'a rule in the way',
    sql: 'CREATE RULE nothing AS ON INSERT TO positions DO INSTEAD NOTHING',
    repair: 'DROP RULE nothing ON positions',
    code: '0A000',
    names: /0A000/,
    plainOnly: true,
  },
  {
    name: 'a column that is generated always',
    sql: `ALTER TABLE public.positions DROP COLUMN generation_type;
      ALTER TABLE public.positions ADD COLUMN generation_type smallint GENERATED ALWAYS AS (1) STORED`,
    repair: `ALTER TABLE public.positions DROP COLUMN generation_type;
      ALTER TABLE public.positions ADD COLUMN generation_type smallint`,
    code: '428C9',
    names: /428C9/,
  },
];

const offered = setUps.filter(({ plainOnly }) => !(plainOnly && hasTimescaledb()));

describe.each(offered)('$name', ({ sql, repair, code, names }) => {
  test.each([1, 500])(
    'refuses a batch of %i: configuration, nothing is rejected, heals',
    async (many) => {
      const { client, writer } = await refusingDatabase();
      // The set-up worked until somebody changed it.
      await writer.write(rowsFrom(someTime - 3_600_000, 2), [null, null]);
      await client.query(sql);
      const rows = rowsFrom(someTime, many);
      const outcomes: Outcomes = rows.map(() => null);

      const failed = writer.write(rows, outcomes);

      await expect(failed).rejects.toMatchObject({
        name: 'DependencyError',
        kind: 'configuration',
        code,
        message: expect.stringMatching(names),
      });
      expect(new Set(outcomes)).toEqual(new Set([null]));
      await client.query(repair);
      await writer.write(rows, outcomes);
      expect(new Set(outcomes)).toEqual(new Set(['inserted']));
      expect(await countRows(client)).toBe(many + 2);
    },
  );

  test('refuses the first row of an empty table: configuration, nothing is rejected', async () => {
    const { client, writer } = await refusingDatabase();
    await client.query(sql);
    const outcomes: Outcomes = [null];

    await expect(writer.write(rowsFrom(someTime, 1), outcomes)).rejects.toMatchObject({
      kind: 'configuration',
      code,
    });
    expect(outcomes).toEqual([null]);
  });
});

test('a failing attempt sends few statements, however large the batch', async () => {
  const { client, writer } = await refusingDatabase();
  await client.query('CREATE SEQUENCE attempts; GRANT USAGE ON attempts TO PUBLIC');
  await client.query(
    always('refuse_all', "PERFORM nextval('public.attempts'); RAISE EXCEPTION 'closed';"),
  );
  const rows = rowsFrom(someTime, 5000);

  await expect(
    writer.write(
      rows,
      rows.map(() => null),
    ),
  ).rejects.toMatchObject({ code: 'P0001' });

  const { rows: attempts } = await client.query('SELECT last_value::int AS n FROM attempts');
  // 14 on the way down to one row, the rest is the search for a row that is taken.
  expect(attempts[0].n).toBeLessThanOrEqual(30);
});

test('the message holds names of the database and no value of a row', async () => {
  const { client, writer } = await refusingDatabase();
  await client.query(always('refuse_all', "RAISE EXCEPTION 'closed: %', NEW.device_id;"));
  const [row] = rowsFrom(someTime, 1);
  if (row === undefined) throw new RangeError('no row');

  await expect(writer.write([row], [null])).rejects.toMatchObject({
    message: expect.not.stringContaining(row.deviceId),
  });
});
