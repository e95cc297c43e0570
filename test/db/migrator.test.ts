import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Migration, migrate, readMigrations } from '../../src/db/migrator.ts';
import { databaseUrl, freshDatabase, hasTimescaledb } from '../setup/database.ts';
import { connect, migrateOptions, migrations, silent } from './positions.ts';

async function emptyDatabase(): Promise<string> {
  const { url, drop } = await freshDatabase();
  onTestFinished(drop);
  return url;
}

const further: Migration = {
  version: migrations.length + 1,
  name: '0099_further.sql',
  sql: 'CREATE TABLE public.further (id integer PRIMARY KEY)',
  checksum: 'a'.repeat(64),
  formerChecksums: [],
};

async function tables(url: string): Promise<string[]> {
  const client = await connect(url);
  const { rows } = await client.query<{ name: string }>(
    `SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY 1`,
  );
  return rows.map((row) => row.name);
}

describe('an empty database', () => {
  test('gets the table, and a second run finds nothing to do', async () => {
    const url = await emptyDatabase();

    const first = await migrate(migrations, migrateOptions(url), silent);
    const second = await migrate(migrations, migrateOptions(url), silent);

    expect(first.applied).toEqual(migrations.map(({ name }) => name));
    expect(first.version).toBe(migrations.length);
    expect(second).toEqual({ ...first, applied: [] });
    expect(await tables(url)).toEqual(['positions', 'processor_migrations']);
  });

  test.each([2, 5])('of %i that start at once, one applies each migration', async (many) => {
    const url = await emptyDatabase();

    const results = await Promise.all(
      Array.from({ length: many }, () => migrate(migrations, migrateOptions(url), silent)),
    );

    const applied = results.flatMap((result) => result.applied);
    expect(applied.toSorted()).toEqual(migrations.map(({ name }) => name));
    const client = await connect(url);
    const { rows } = await client.query('SELECT version FROM public.processor_migrations');
    expect(rows).toHaveLength(migrations.length);
  });

  test('a migration that fails leaves nothing behind, and those before it stay', async () => {
    const url = await emptyDatabase();
    const broken = { ...further, sql: 'CREATE TABLE public.half (); SELECT 1 / 0' };

    await expect(
      migrate([...migrations, broken], migrateOptions(url), silent),
    ).rejects.toMatchObject({ name: 'MigrationError', code: 'failed' });
    expect(await tables(url)).toEqual(['positions', 'processor_migrations']);
    const { applied } = await migrate([...migrations, further], migrateOptions(url), silent);
    expect(applied).toEqual([further.name]);
  });
});

describe('a migrated database', () => {
  test('gets only what is new', async () => {
    const url = await emptyDatabase();
    await migrate(migrations, migrateOptions(url), silent);

    const { applied } = await migrate([...migrations, further], migrateOptions(url), silent);

    expect(applied).toEqual([further.name]);
    expect(await tables(url)).toContain('further');
  });

  test('refuses a migration that was changed after it was applied, and names it', async () => {
    const url = await emptyDatabase();
    await migrate(migrations, migrateOptions(url), silent);
    const changed = migrations.map((migration) => ({ ...migration, checksum: 'b'.repeat(64) }));

    for (const mode of ['auto', 'verify'] as const) {
      await expect(migrate(changed, migrateOptions(url, { mode }), silent)).rejects.toMatchObject({
        name: 'MigrationError',
        code: 'checksum_changed',
        message: expect.stringContaining(migrations[0]?.name ?? ''),
      });
    }
  });

  test('accepts one that was applied with content that the file names as its former one', async () => {
    const url = await emptyDatabase();
    await migrate(migrations, migrateOptions(url), silent);
    const client = await connect(url);
    const former = migrations.flatMap(({ version, formerChecksums: [checksum] }) =>
      checksum === undefined ? [] : [{ version, checksum }],
    );
    expect(former.map(({ version }) => version)).toEqual([5]);
    for (const { version, checksum } of former) {
      const words = 'UPDATE public.processor_migrations SET checksum = $2 WHERE version = $1';
      await client.query(words, [version, checksum]);
    }

    const { applied } = await migrate(migrations, migrateOptions(url, { mode: 'verify' }), silent);
    expect(applied).toEqual([]);
  });

  test('by a newer version is refused by an older one', async () => {
    const url = await emptyDatabase();
    await migrate([...migrations, further], migrateOptions(url), silent);

    await expect(migrate(migrations, migrateOptions(url), silent)).rejects.toMatchObject({
      code: 'unknown_newer_version',
      message: expect.stringContaining(further.name),
    });
  });
});

describe('verify', () => {
  test('names what is pending and changes nothing', async () => {
    const url = await emptyDatabase();

    await expect(
      migrate(migrations, migrateOptions(url, { mode: 'verify' }), silent),
    ).rejects.toMatchObject({
      code: 'pending',
      message: expect.stringContaining(migrations[0]?.name ?? ''),
    });
    expect(await tables(url)).toEqual([]);
  });

  test('is content with a migrated database', async () => {
    const url = await emptyDatabase();
    const migrated = await migrate(migrations, migrateOptions(url), silent);

    const verified = await migrate(migrations, migrateOptions(url, { mode: 'verify' }), silent);

    expect(verified).toEqual({ ...migrated, applied: [] });
  });
});

test('off checks no migration', async () => {
  const url = await emptyDatabase();
  await migrate([...migrations, further], migrateOptions(url), silent);

  const { applied } = await migrate(migrations, migrateOptions(url, { mode: 'off' }), silent);

  expect(applied).toEqual([]);
});

describe('the migration lock', () => {
  const short = { lockTimeoutMs: 50, migrationLockTimeoutMs: 200 };

  test('held by another session all the time, it is given up with advice', async () => {
    const url = await emptyDatabase();
    const holder = await connect(url);
    await holder.query('SELECT pg_advisory_lock($1, $2)', [0x70726f63, 1]);

    await expect(migrate(migrations, migrateOptions(url, short), silent)).rejects.toMatchObject({
      name: 'MigrationError',
      code: 'lock_timeout',
      message: expect.stringContaining('MIGRATION_LOCK_TIMEOUT_MS'),
    });
    expect(await tables(url)).toEqual([]);
  });

  test('released by another session, it is taken', async () => {
    const url = await emptyDatabase();
    const holder = await connect(url);
    await holder.query('SELECT pg_advisory_lock($1, $2)', [0x70726f63, 1]);
    const waited: string[] = [];
    const log = {
      ...silent,
      info(_fields: object, msg: string) {
        waited.push(msg);
        if (waited.length === 1) void holder.query('SELECT pg_advisory_unlock_all()');
      },
    };

    const options = migrateOptions(url, { lockTimeoutMs: 50 });
    const { applied } = await migrate(migrations, options, log);

    expect(applied).toHaveLength(migrations.length);
    expect(waited[0]).toBe('waiting for a lock to migrate');
  });
});

describe('a database that cannot be asked', () => {
  test('is a dependency that is tried again', async () => {
    const url = 'postgres://postgres@127.0.0.1:1/none';

    await expect(migrate(migrations, migrateOptions(url), silent)).rejects.toMatchObject({
      name: 'DependencyError',
      kind: 'unavailable',
      code: 'ECONNREFUSED',
    });
  });

  test('or does not exist waits for a person', async () => {
    const url = new URL(databaseUrl());
    url.pathname = '/processor_test_there_is_none';

    await expect(migrate(migrations, migrateOptions(url.href), silent)).rejects.toMatchObject({
      name: 'DependencyError',
      kind: 'configuration',
      code: '3D000',
    });
  });
});

test('TimescaleDB is required if configured, and the error explains the plain table', async () => {
  const url = await emptyDatabase();
  const required = migrateOptions(url, { timescaledb: 'required' });

  if (hasTimescaledb()) {
    expect((await migrate(migrations, required, silent)).storage.kind).toBe('hypertable');
  } else {
    await expect(migrate(migrations, required, silent)).rejects.toMatchObject({
      name: 'MigrationError',
      code: 'timescaledb_missing',
      message: expect.stringContaining('TIMESCALEDB=optional'),
    });
    const { storage } = await migrate(migrations, migrateOptions(url), silent);
    expect(storage).toEqual({ kind: 'plain table' });
  }
});

describe('migration files', () => {
  async function read(names: readonly string[]): Promise<Migration[]> {
    const folder = await mkdtemp(join(tmpdir(), 'processor-migrations-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    for (const name of names) await writeFile(join(folder, name), `-- ${name}\n`);
    return await readMigrations(pathToFileURL(`${folder}/`));
  }

  test('are read in order, each with its checksum; other files are left alone', async () => {
    const read3 = await read(['0002_b.sql', '0001_a.sql', 'README.md', '0003_c.sql']);

    expect(read3.map(({ version, name }) => [version, name])).toEqual([
      [1, '0001_a.sql'],
      [2, '0002_b.sql'],
      [3, '0003_c.sql'],
    ]);
    expect(new Set(read3.map(({ checksum }) => checksum)).size).toBe(3);
  });

  test.each([[['0002_b.sql']], [['0001_a.sql', '0003_c.sql']], [['0001_a.sql', '0001_b.sql']]])(
    '%j have a gap or a number twice and are refused',
    async (names) => {
      await expect(read(names)).rejects.toThrow('out of line');
    },
  );
});
