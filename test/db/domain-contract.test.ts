import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkContract } from '../../src/db/domain-contract.ts';
import { contractViews } from '../../src/db/domain-views.ts';
import {
  type ContractDatabase,
  checkAs,
  checkWith,
  contractDatabase,
  faultsOf,
  timingOptions,
} from './domain-contract-subject.ts';
import { connect } from './positions.ts';

let database: ContractDatabase;
const definitions = new Map<string, string>();
beforeAll(async () => {
  database = await contractDatabase();
  for (const { name } of contractViews) {
    const { rows } = await database.client.query<{ text: string }>(
      `SELECT rtrim(pg_get_viewdef('processor_contract.${name}'::regclass), ';') AS text`,
    );
    definitions.set(name, rows[0]?.text ?? '');
  }
});
afterAll(() => database.drop());

/** Makes a view again whose columns are these expressions over the promised ones. */
function remake(view: string, columns: readonly string[], role: string): string {
  return `DROP VIEW processor_contract.${view};
    CREATE VIEW processor_contract.${view} AS
      SELECT ${columns.join(', ')} FROM (${definitions.get(view)}) AS promised;
    GRANT SELECT ON processor_contract.${view} TO ${role}`;
}

const timingColumns = [
  ['id', 'integer USING 1'],
  ['device', 'json USING NULL'],
  ['geofence', 'json USING NULL'],
  ['direction', 'integer USING 1'],
  ['at', 'timestamp without time zone'],
  ['before_ts', 'timestamp without time zone'],
  ['after_ts', 'date'],
  ['method', 'integer USING 1'],
  ['source', 'integer USING 1'],
  ['superseded_at', 'timestamp without time zone'],
  ['vehicle', 'boolean USING NULL'],
] as const;

describe('the contract with Directus', () => {
  test.each(['fleet', 'race'] as const)(
    'of the samples for a %s is as promised, with the real types',
    async (kind) => {
      const other = await contractDatabase(kind);
      try {
        const column = kind === 'fleet' ? 'vehicle' : 'entry';
        expect(await checkAs(other, { ...timingOptions, subjectColumn: column })).toEqual({
          ok: true,
          warnings: [],
          timing: {
            schema: 'public',
            name: 'timing_records',
            idType: 'uuid',
            deviceType: 'uuid',
            geofenceType: 'uuid',
            subject: { column, type: 'uuid' },
            hasCoordinates: true,
            hasDateCreated: true,
          },
        });
      } finally {
        await other.drop();
      }
    },
  );

  const promised = contractViews.flatMap(({ name, columns }) =>
    columns.map((column) => [name, column.name] as const),
  );

  test.each(promised)(
    'names %s.%s when it is renamed, retyped or dropped, and is whole again when it is put back',
    async (view, column) => {
      const object = `processor_contract.${view}.${column}`;
      const columns = contractViews.find(({ name }) => name === view)?.columns ?? [];
      const names = columns.map(({ name }) => name);
      const retyped = names.map((name) => (name === column ? `NULL::boolean AS ${name}` : name));
      const dropped = names.filter((name) => name !== column);
      const { role } = database;
      const rename = `ALTER VIEW processor_contract.${view} RENAME COLUMN ${column} TO renamed`;

      expect(faultsOf(await checkWith(database, rename))).toEqual([
        `${object}: the column is missing`,
      ]);
      expect(faultsOf(await checkWith(database, remake(view, dropped, role)))).toEqual([
        `${object}: the column is missing`,
      ]);
      expect(faultsOf(await checkWith(database, remake(view, retyped, role)))).toEqual([
        expect.stringContaining(`${object}: its type is boolean, not `),
      ]);
      expect(await checkAs(database)).toMatchObject({ ok: true });
    },
  );

  test.each(timingColumns)(
    'names timing_records.%s when it is renamed, retyped or dropped, and is whole again when it is put back',
    async (column, type) => {
      const table = 'ALTER TABLE public.timing_records';
      const object = `public.timing_records.${column}`;
      const loosen = `DROP INDEX public.timing_records_live_device, public.timing_records_live_geofence;
      ${table} DROP CONSTRAINT timing_records_device_foreign,
        DROP CONSTRAINT timing_records_geofence_foreign,
        DROP CONSTRAINT timing_records_vehicle_foreign, ALTER COLUMN source DROP DEFAULT`;
      const changes = [
        `${table} RENAME COLUMN ${column} TO renamed`,
        `${table} DROP COLUMN ${column}`,
        `${loosen}; ${table} ALTER COLUMN ${column} TYPE ${type}`,
      ];
      const found: string[][] = [];
      for (const change of changes) found.push(faultsOf(await checkWith(database, change)));
      const [renamed, dropped, retyped] = found;

      expect(renamed).toContain(`${object}: the column is missing`);
      expect(dropped).toContain(`${object}: the column is missing`);
      expect(retyped).toEqual([expect.stringMatching(/: its type is .+, not /)]);
      expect(retyped?.[0]).toContain(`${object}: `);
      expect(await checkAs(database)).toMatchObject({ ok: true });
    },
  );

  test.each([
    [
      'a table without a primary key',
      'ALTER TABLE public.timing_records DROP CONSTRAINT timing_records_pkey',
      'public.timing_records.id: the table has no primary key',
    ],
    [
      'a composite primary key',
      `ALTER TABLE public.timing_records DROP CONSTRAINT timing_records_pkey,
         ADD PRIMARY KEY (id, at)`,
      'public.timing_records.id: the primary key is not exactly this column',
    ],
    [
      'a deferrable primary key',
      `ALTER TABLE public.timing_records DROP CONSTRAINT timing_records_pkey,
         ADD PRIMARY KEY (id) DEFERRABLE`,
      'public.timing_records.id: the primary key is not exactly this column, or it is deferrable',
    ],
    [
      'a column that nothing fills',
      'ALTER TABLE public.timing_records ADD COLUMN user_created uuid NOT NULL',
      'public.timing_records.user_created: it refuses null',
    ],
    [
      'a generated column in place of a promised one',
      `ALTER TABLE public.timing_records DROP COLUMN method,
         ADD COLUMN method text GENERATED ALWAYS AS ('x') STORED`,
      'public.timing_records.method: its values are generated',
    ],
    [
      'before_ts that refuses null',
      'ALTER TABLE public.timing_records ALTER COLUMN before_ts SET NOT NULL',
      'public.timing_records.before_ts: it refuses null',
    ],
    [
      'whole seconds',
      'ALTER TABLE public.timing_records ALTER COLUMN at TYPE timestamptz(0)',
      'public.timing_records.at: it keeps 0 digits of a second, not 3',
    ],
    [
      'a missing table',
      'DROP TABLE public.timing_records',
      'public.timing_records: the table is missing',
    ],
    [
      'a view in place of the table',
      `ALTER TABLE public.timing_records RENAME TO stored;
       CREATE VIEW public.timing_records AS SELECT * FROM public.stored`,
      'public.timing_records: it is no table',
    ],
    [
      'a missing view',
      'DROP VIEW processor_contract.devices_v1',
      'processor_contract.devices_v1: the view is missing',
    ],
    [
      'a missing schema',
      'DROP SCHEMA processor_contract CASCADE',
      'processor_contract: the schema is missing',
    ],
  ])('is broken by %s', async (_, change, fault) => {
    expect(faultsOf(await checkWith(database, change))).toEqual([expect.stringContaining(fault)]);
  });

  test.each([
    ['USAGE ON SCHEMA processor_contract', 'processor_contract'],
    ['SELECT ON processor_contract.geofences_v1', 'processor_contract.geofences_v1'],
    ['SELECT ON processor_contract.devices_v1', 'processor_contract.devices_v1'],
    ['SELECT ON processor_contract.ignored_v1', 'processor_contract.ignored_v1'],
    ['SELECT ON public.timing_records', 'public.timing_records.id'],
    ['INSERT ON public.timing_records', 'public.timing_records.id'],
    ['UPDATE (superseded_at) ON public.timing_records', 'public.timing_records.superseded_at'],
  ])('names a missing right, and the grant that gives it: %s', async (right, object) => {
    const { role, client } = database;
    await client.query(`REVOKE ${right} FROM ${role}`);
    const check = await checkAs(database);
    const [fault] = check.ok ? [] : check.faults;

    expect(fault).toMatchObject({ object, problem: expect.stringContaining(role) });
    for (const { advice } of check.ok ? [] : check.faults) {
      expect(advice).toMatch(/^GRANT /);
      await client.query(advice);
    }
    expect(await checkAs(database)).toMatchObject({ ok: true });
  });

  test('goes on with a right on columns in place of the whole table', async () => {
    const change = `REVOKE SELECT ON public.timing_records FROM ${database.role};
      GRANT SELECT (id, device, geofence, direction, at, before_ts, after_ts, method, source,
        superseded_at, vehicle) ON public.timing_records TO ${database.role}`;

    expect(await checkWith(database, change)).toMatchObject({ ok: true });
  });

  test('leaves ignored ranges and the subject out where there are none', async () => {
    const change = `DROP VIEW processor_contract.ignored_v1;
      ALTER TABLE public.timing_records DROP COLUMN vehicle`;
    const options = { ...timingOptions, subjectColumn: null };

    expect(await checkWith(database, change, options)).toMatchObject({
      ok: true,
      timing: { subject: null },
    });
  });

  test('warns of optional columns that it cannot fill, and of missing indexes', async () => {
    const change = `DROP INDEX public.timing_records_live_device, public.timing_records_live_geofence;
      ALTER TABLE public.timing_records DROP COLUMN latitude,
        ALTER COLUMN date_created TYPE timestamp without time zone`;
    const check = await checkWith(database, change);

    expect(check).toMatchObject({
      ok: true,
      timing: { hasCoordinates: false, hasDateCreated: false },
    });
    expect(check.ok ? check.warnings : []).toMatchObject([
      { object: 'public.timing_records.date_created' },
      { problem: expect.stringContaining('(device, after_ts)') },
      { problem: expect.stringContaining('(device, geofence, after_ts DESC)') },
    ]);
  });

  test('takes an index on all rows for one on live rows, and no invalid one', async () => {
    const wider = `DROP INDEX public.timing_records_live_device;
      CREATE INDEX ON public.timing_records (device, after_ts, direction)`;
    const invalid = `UPDATE pg_index SET indisvalid = false
      WHERE indexrelid = 'public.timing_records_live_device'::regclass`;

    expect(await checkWith(database, wider)).toMatchObject({ ok: true, warnings: [] });
    expect(await checkWith(database, invalid)).toMatchObject({ ok: true, warnings: [{}] });
  });
});

describe('a view that may be read and fails', () => {
  async function brokenBy(change: string, undo: string): Promise<string[]> {
    const { client } = database;
    await client.query(change);
    try {
      return faultsOf(await checkAs(database));
    } finally {
      await client.query(`RESET statement_timeout; ${undo}`);
    }
  }
  const restored = () =>
    remake('devices_v1', ['*'], database.role).replace('DROP VIEW', 'DROP VIEW IF EXISTS');
  const insteadOf = (columns: string) => `DROP VIEW processor_contract.devices_v1;
    CREATE VIEW processor_contract.devices_v1 AS SELECT NULL::text AS imei, NULL::text AS device,
      NULL::text AS subject, NULL::text AS scope, NULL::timestamptz AS valid_from,
      NULL::timestamptz AS valid_to, NULL::timestamptz AS changed_at ${columns};
    GRANT SELECT ON processor_contract.devices_v1 TO ${database.role}`;

  test('is named with the SQLSTATE of its error', async () => {
    const change = insteadOf('FROM generate_series(1, 3) AS n WHERE 1 / (n - 1) > 0');

    expect(await brokenBy(change, restored())).toEqual([
      'processor_contract.devices_v1: reading it fails with SQLSTATE 22012',
    ]);
  });

  test('is named when it takes longer than the statement timeout', async () => {
    const change = `${insteadOf('FROM pg_sleep(60)')}; SET statement_timeout = '500ms'`;

    expect(await brokenBy(change, `SET statement_timeout = '20s'; ${restored()}`)).toEqual([
      'processor_contract.devices_v1: reading it takes longer than STATEMENT_TIMEOUT_MS',
    ]);
  });

  test('is named with its owner when the owner may not read behind it', async () => {
    const owner = `owner_${database.role}`;
    const change = `CREATE ROLE ${owner};
      ALTER VIEW processor_contract.devices_v1 OWNER TO ${owner}`;
    const undo = `ALTER VIEW processor_contract.devices_v1 OWNER TO CURRENT_USER; DROP ROLE ${owner}`;

    expect(await brokenBy(change, undo)).toEqual([
      `processor_contract.devices_v1: ${owner}, who owns the view, may not read behind it`,
    ]);
    expect(await checkAs(database)).toMatchObject({ ok: true });
  });

  test('is no fault of the view when the server goes away', async () => {
    const client = await connect(database.url);
    await database.client.query(
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1',
      [(await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid],
    );

    await expect(checkContract(client, timingOptions)).rejects.toMatchObject({
      name: 'DependencyError',
      kind: 'unavailable',
    });
  });
});
