import { randomBytes } from 'node:crypto';
import type { Client } from 'pg';
import { onTestFinished } from 'vitest';
import type { Outcomes, Position, WriteReason } from '../../src/core/types.ts';
import { createPositionWriter, type PositionWriter } from '../../src/db/position-writer.ts';
import { askPostgres } from '../../tools/servers/ask.ts';
import { databaseUrl, freshMigrated } from '../setup/database.ts';
import { connect, dayMs, openPool, position } from './positions.ts';

/** A way in which the set-up of somebody else refuses some rows of `positions`. */
export interface Mechanism {
  readonly name: string;
  /** Makes the set-up refuse the rows that `refused` describes, and no others. */
  readonly sql: string;
  readonly refused: Partial<Position>;
  readonly reason: WriteReason;
  /** What the dead letter's message names. */
  readonly names: RegExp;
  /** Not to be had on a hypertable. */
  readonly plainOnly?: true;
}

/** A trigger of its own that runs `body` for the rows whose altitude is `altitude`. */
function rowTrigger(name: string, altitude: number, body: string): string {
  return `
    CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF NEW.altitude = ${altitude} THEN ${body} END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER ${name} BEFORE INSERT ON public.positions FOR EACH ROW EXECUTE FUNCTION ${name}();`;
}

export const policies = `
  ALTER TABLE public.positions ENABLE ROW LEVEL SECURITY;
  CREATE POLICY some_rows ON public.positions FOR INSERT WITH CHECK (altitude <> 9002);
  CREATE POLICY all_rows ON public.positions FOR SELECT USING (true);`;

const long = Array.from({ length: 6000 }, (_, index) => ((index * 7919) % 9973).toString(36)).join(
  '',
);

export const mechanisms: readonly Mechanism[] = [
  {
    name: 'a CHECK of another application',
    sql: 'ALTER TABLE public.positions ADD CONSTRAINT other_check CHECK (altitude <> 9001)',
    refused: { altitude: 9001 },
    reason: 'row_constraint_violated',
    names: /23514.*other_check/,
  },
  {
    name: 'a row-level security policy',
    sql: policies,
    refused: { altitude: 9002 },
    reason: 'row_refused_by_policy',
    names: /42501.*row-level security/,
  },
  {
    name: 'a trigger that skips rows',
    sql: rowTrigger('skip_some', 9003, 'RETURN NULL;'),
    refused: { altitude: 9003 },
    reason: 'row_skipped',
    names: /trigger|rule/,
  },
  {
    name: 'a trigger that raises',
    sql: rowTrigger('raise_some', 9004, "RAISE EXCEPTION 'no: %', NEW.device_id;"),
    refused: { altitude: 9004 },
    reason: 'row_refused_by_trigger',
    names: /P0001.*raise_some/,
  },
  {
    name: 'a trigger that raises 0A000',
    sql: rowTrigger('freeze_some', 9005, "RAISE EXCEPTION 'frozen' USING ERRCODE = '0A000';"),
    refused: { altitude: 9005 },
    reason: 'row_refused_by_trigger',
    names: /0A000.*freeze_some/,
  },
  {
    name: 'a foreign key',
    sql: `CREATE TABLE io_ids (id int PRIMARY KEY);
      INSERT INTO io_ids VALUES (240);
      ALTER TABLE public.positions ADD CONSTRAINT known_io FOREIGN KEY (event_io_id) REFERENCES io_ids`,
    refused: { eventIoId: 9006 },
    reason: 'row_constraint_violated',
    names: /23503.*known_io/,
  },
  {
    name: 'a trigger that reads a table which is gone',
    sql: rowTrigger('read_gone', 9007, 'PERFORM 1 FROM gone;'),
    refused: { altitude: 9007 },
    reason: 'row_refused_by_trigger',
    names: /42P01.*read_gone/,
  },
  {
    name: 'a trigger without a permission',
    sql: `CREATE TABLE secrets (id int); ${rowTrigger('read_secret', 9008, 'PERFORM 1 FROM public.secrets;')}`,
    refused: { altitude: 9008 },
    reason: 'row_refused_by_trigger',
    names: /42501.*read_secret/,
  },
  {
    name: 'a generated column that divides by zero',
    sql: 'ALTER TABLE public.positions ADD COLUMN share int GENERATED ALWAYS AS (100 / (altitude - 9009)) STORED',
    refused: { altitude: 9009 },
    reason: 'row_value_invalid',
    names: /22012/,
  },
  {
    name: 'an index on an expression that overflows',
    sql: "CREATE INDEX of_66 ON public.positions (((attributes->>'66')::smallint))",
    refused: { attributes: '{"66":99999}' },
    reason: 'row_value_invalid',
    names: /22003/,
  },
  {
    name: 'an index whose entries are too long',
    sql: "CREATE INDEX of_texts ON public.positions ((attributes->>'text'))",
    refused: { attributes: JSON.stringify({ text: long }) },
    reason: 'row_too_large',
    names: /54000/,
  },
  {
    name: 'a constraint trigger that raises at the commit',
    sql: `
      CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF NEW.altitude = 9012 THEN RAISE EXCEPTION 'late' USING ERRCODE = '23000'; END IF;
        RETURN NULL;
      END $$;
      CREATE CONSTRAINT TRIGGER later AFTER INSERT ON public.positions DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION later()`,
    refused: { altitude: 9012 },
    reason: 'row_refused_by_trigger',
    names: /23000.*later/,
    plainOnly: true,
  },
  {
    name: 'a trigger that raises an unknown code',
    sql: rowTrigger('raise_odd', 9013, "RAISE EXCEPTION 'odd' USING ERRCODE = 'ZZ001';"),
    refused: { altitude: 9013 },
    reason: 'row_refused_by_trigger',
    names: /ZZ001.*raise_odd/,
  },
  {
    name: 'a domain type with a CHECK',
    sql: `CREATE DOMAIN speeds AS int CONSTRAINT no_901 CHECK (VALUE <> 901);
      ALTER TABLE public.positions ADD COLUMN checked speeds GENERATED ALWAYS AS (speed) STORED`,
    refused: { speed: 901 },
    reason: 'row_constraint_violated',
    names: /23514.*no_901/,
    plainOnly: true,
  },
];

/** The mechanism of that name. */
export function mechanism(name: string): Mechanism {
  const found = mechanisms.find((candidate) => candidate.name === name);
  if (found === undefined) throw new RangeError(`no mechanism ${name}`);
  return found;
}

export interface RefusingDatabase {
  /** The superuser's. */
  readonly client: Client;
  readonly writer: PositionWriter;
  readonly url: string;
  write(rows: readonly Position[]): Promise<{ outcomes: Outcomes; statements: number }>;
  /** Creates another writer, like an instance that has just started. */
  anotherWriter(): PositionWriter;
}

/** A migrated database whose writer is a role without further rights: row security holds for it. */
export async function refusingDatabase(sql = ''): Promise<RefusingDatabase> {
  const { url, drop } = await freshMigrated();
  const role = `processor_test_w_${randomBytes(6).toString('hex')}`;
  onTestFinished(async () => {
    await drop();
    await askPostgres(databaseUrl(), `DROP ROLE IF EXISTS ${role}`);
  });
  const client = await connect(url);
  await client.query(`CREATE ROLE ${role} LOGIN PASSWORD '${role}';
    GRANT SELECT, INSERT ON public.positions TO ${role}`);
  await client.query(sql);
  const own = new URL(url);
  own.username = role;
  own.password = role;
  const anotherWriter = () =>
    createPositionWriter(openPool(own.href), { chunkIntervalMs: dayMs, maxChunksPerStatement: 48 });
  const writer = anotherWriter();
  return {
    client,
    writer,
    url: own.href,
    anotherWriter,
    async write(rows) {
      const outcomes: Outcomes = rows.map(() => null);
      const statements = await writer.write(rows, outcomes);
      return { outcomes, statements };
    },
  };
}

export async function countRows(client: Client): Promise<number> {
  const { rows } = await client.query<{ n: number }>(
    'SELECT count(*)::int AS n FROM public.positions',
  );
  return rows[0]?.n ?? Number.NaN;
}

/** Rows a second apart, some of them changed. */
export function rowsFrom(
  startMs: number,
  many: number,
  change: (index: number) => Partial<Position> = () => ({}),
): Position[] {
  return Array.from({ length: many }, (_, index) =>
    position({ ts: startMs + index * 1000, recordIndex: index, ...change(index) }),
  );
}
