import type { Client } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Logger } from '../../src/core/types.ts';
import { type MigrateOptions, type MigrationResult, migrate } from '../../src/db/migrator.ts';
import {
  applyColumnstore,
  describePolicies,
  type Policies,
  policyDifferences,
} from '../../src/db/policies.ts';
import { checkTimescaleVersion } from '../../src/db/timescale.ts';
import { freshDatabase, hasTimescaledb } from '../servers/database.ts';
import { connect, dayMs, migrateOptions, migrations, silent } from './positions.ts';

const all = { columnstoreAfterMs: 30 * dayMs, retentionMs: 365 * dayMs, aggregates: true };
const none = { columnstoreAfterMs: null, retentionMs: null, aggregates: false };

type Change = Partial<Omit<MigrateOptions, 'url'>>;

interface Subject {
  readonly url: string;
  readonly client: Client;
  configure(change: Change, log?: Logger): Promise<MigrationResult>;
}

async function subject(): Promise<Subject> {
  const { url, drop } = await freshDatabase();
  onTestFinished(drop);
  const configure = (change: Change, log: Logger = silent) =>
    migrate(migrations, migrateOptions(url, change), log);
  await configure({});
  return { url, client: await connect(url), configure };
}

async function edition(client: Client): Promise<Policies['edition']> {
  return (await describePolicies(client)).edition;
}

/** Jobs by their ids, so that one taken away and added again is seen. */
async function jobs(client: Client): Promise<unknown[]> {
  const { rows } = await client.query(
    'SELECT job_id, proc_name, config FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY 1',
  );
  return rows;
}

async function addRow(client: Client, ts: string): Promise<void> {
  await client.query(
    `INSERT INTO positions (device_id, ts, altitude, angle, speed, satellites, priority, fix, codec,
                            attributes)
     VALUES ('350000000000001', $1::timestamptz, 0, 0, 0, 0, 0, false, '8', '{}')`,
    [ts],
  );
}

async function compressAll(client: Client): Promise<void> {
  await client.query("SELECT compress_chunk(c, true) FROM show_chunks('positions') AS c");
}

describe('policies on a server that has them', () => {
  // The suite's server decides; the same test file runs against each edition.
  const onCommunity = (name: string, run: (subject: Subject) => Promise<void>) =>
    test.skipIf(!hasTimescaledb())(
      name,
      { meta: { needs: 'needs TimescaleDB (set TEST_DATABASE_URL or TEST_POSTGRES_BIN)' } },
      async ({ skip }) => {
        const here = await subject();
        if ((await edition(here.client)) !== 'community') skip('needs the Community edition');
        await run(here);
      },
    );

  onCommunity('are all off by default', async ({ client }) => {
    expect(await describePolicies(client)).toEqual({
      ...none,
      edition: 'community',
      segmentBy: null,
      orderBy: null,
      compressedChunks: 0,
    });
    expect(await jobs(client)).toEqual([]);
  });

  onCommunity('are applied by configuration, and a second run changes nothing', async (here) => {
    const { policies, refusals } = await here.configure(all);
    const before = await jobs(here.client);
    await here.configure(all);

    expect(refusals).toEqual([]);
    expect(policies).toEqual({
      ...all,
      edition: 'community',
      segmentBy: 'device_id',
      orderBy: 'ts DESC',
      compressedChunks: 0,
    });
    expect(before).toHaveLength(4);
    expect(await jobs(here.client)).toEqual(before);
  });

  onCommunity('a second run waits for nobody who reads or writes', async (here) => {
    await here.configure(all);
    const busy = await connect(here.url);
    await busy.query('BEGIN; LOCK TABLE positions IN ROW EXCLUSIVE MODE');

    const again = await here.configure({ ...all, lockTimeoutMs: 100, migrationLockTimeoutMs: 100 });

    expect(again.policies).toMatchObject(all);
  });

  onCommunity('are changed one by one, and the others are left alone', async (here) => {
    await here.configure(all);
    const before = await jobs(here.client);
    const { policies } = await here.configure({ ...all, columnstoreAfterMs: 45 * dayMs });

    expect(policies).toMatchObject({ ...all, columnstoreAfterMs: 45 * dayMs });
    const after = await jobs(here.client);
    expect(after).toHaveLength(4);
    const kept = before.filter((job) => JSON.stringify(after).includes(JSON.stringify(job)));
    expect(kept).toHaveLength(3);
  });

  onCommunity('a changed retention moves the start of the refresh along', async (here) => {
    await here.configure(all);
    await here.configure({ ...all, retentionMs: 100 * dayMs });

    const starts = (await jobs(here.client)).filter((job) =>
      JSON.stringify(job).includes('"start_offset":"100 days"'),
    );
    expect(starts).toHaveLength(1);
  });

  onCommunity('are taken away by configuration alone', async (here) => {
    await here.configure(all);
    const { policies } = await here.configure(none);

    expect(policies).toMatchObject({ ...none, segmentBy: null });
    expect(await jobs(here.client)).toEqual([]);
  });

  onCommunity('also those that somebody added by hand', async (here) => {
    await here.client.query("SELECT add_retention_policy('positions', INTERVAL '3 hours')");
    const { policies } = await here.configure(none);

    expect(policies.retentionMs).toBeNull();
  });

  onCommunity('a compressed chunk keeps the columnstore, and stays readable', async (here) => {
    await here.configure(all);
    await addRow(here.client, '2026-03-01T12:00:00Z');
    await compressAll(here.client);
    const { policies } = await here.configure(none);

    expect(policies).toMatchObject({
      ...none,
      segmentBy: 'device_id',
      compressedChunks: 1,
    });
    const { rows } = await here.client.query('SELECT count(*)::int AS n FROM positions');
    expect(rows).toEqual([{ n: 1 }]);
  });

  onCommunity('another segment by hand is set right', async (here) => {
    await here.client.query(
      "ALTER TABLE positions SET (timescaledb.compress, timescaledb.compress_segmentby = 'codec')",
    );
    const { policies } = await here.configure(all);

    expect(policies).toMatchObject({ segmentBy: 'device_id', orderBy: 'ts DESC' });
  });

  onCommunity('the older names do the same as the newer ones', async ({ client }) => {
    const before = await describePolicies(client);
    await applyColumnstore(client, 'compression', before, 20 * dayMs);
    const on = await describePolicies(client);
    await applyColumnstore(client, 'compression', on, 40 * dayMs);
    const changed = await describePolicies(client);
    await applyColumnstore(client, 'compression', changed, null);

    expect(on).toMatchObject({ columnstoreAfterMs: 20 * dayMs, segmentBy: 'device_id' });
    expect(changed).toMatchObject({ columnstoreAfterMs: 40 * dayMs, orderBy: 'ts DESC' });
    expect(await describePolicies(client)).toEqual(before);
  });

  onCommunity('aggregates that hold more than positions are not dropped unasked', async (here) => {
    await here.configure({ aggregates: true });
    await addRow(here.client, '2026-03-01T12:00:00Z');
    await addRow(here.client, '2026-03-05T12:00:00Z');
    for (const view of ['device_hours', 'device_days']) {
      await here.client.query(`CALL refresh_continuous_aggregate('positions.${view}', NULL, NULL)`);
    }
    await here.client.query("SELECT drop_chunks('positions', '2026-03-03T00:00:00Z'::timestamptz)");

    const { policies, refusals } = await here.configure({ aggregates: false });

    expect(policies.aggregates).toBe(true);
    expect(refusals).toEqual([
      { policy: 'aggregates', advice: expect.stringContaining('DROP MATERIALIZED VIEW') },
    ]);
  });

  onCommunity('hours and days say what the records say', async (here) => {
    await here.configure({ aggregates: true });
    for (const minute of ['10:10', '10:50', '11:30']) {
      await addRow(here.client, `2026-03-01T${minute}:00Z`);
    }
    const read = async (view: string) =>
      (
        await here.client.query(
          `SELECT bucket, records::int AS records, last_ts FROM positions.${view} ORDER BY 1`,
        )
      ).rows;

    // Not refreshed yet: what is not materialised is read from positions.
    const expected = {
      hours: [
        { records: 2, last_ts: new Date('2026-03-01T10:50:00Z') },
        { records: 1, last_ts: new Date('2026-03-01T11:30:00Z') },
      ],
      days: [{ records: 3, last_ts: new Date('2026-03-01T11:30:00Z') }],
    };
    expect(await read('device_hours')).toMatchObject(expected.hours);
    expect(await read('device_days')).toMatchObject(expected.days);
  });

  onCommunity('of five instances that start at once each policy is added once', async (here) => {
    await Promise.all(Array.from({ length: 5 }, () => here.configure(all)));

    expect(await jobs(here.client)).toHaveLength(4);
  });

  onCommunity('verify and off change no policy and tell what is in force', async (here) => {
    await here.configure(all);
    for (const mode of ['verify', 'off'] as const) {
      const { policies } = await here.configure({ ...none, mode });
      expect(policies).toMatchObject(all);
      expect(policyDifferences(policies, none)).toEqual(['columnstore', 'retention', 'aggregates']);
    }
  });
});

describe('policies on a server without them', () => {
  test('are refused in one line that says what to do', async ({ skip }) => {
    const { client, configure } = await subject();
    if ((await edition(client)) === 'community') skip('the server has them');
    const warnings: { msg: string; fields: object }[] = [];
    const log = {
      ...silent,
      warn: (fields: object, msg: string) => warnings.push({ fields, msg }),
    };

    const { policies, refusals } = await configure(all, log);

    expect(policies).toMatchObject(none);
    expect(refusals.map(({ policy }) => policy)).toEqual([
      'columnstore',
      'retention',
      'aggregates',
    ]);
    expect(refusals[1]?.advice).toContain('processor retention');
    expect(warnings).toEqual([
      { msg: 'the server does not carry out some policies', fields: { refusals } },
    ]);
  });

  test('that are not asked for are no complaint', async () => {
    const { configure } = await subject();

    expect((await configure(none)).refusals).toEqual([]);
  });
});

describe('versions of TimescaleDB', () => {
  test.each(['2.13.1', '2.17.2', '2.18.0', '2.19.0', '1.7.5'])('%s is too old', (version) => {
    expect(() => checkTimescaleVersion(version)).toThrow(
      expect.objectContaining({ name: 'MigrationError', code: 'timescaledb_too_old' }),
    );
  });

  test.each(['2.19.1', '2.19.3', '2.20.0', '2.27.2', '2.27.2-dev', '2.100.0', '3.0.0'])(
    '%s is new enough',
    (version) => {
      expect(() => checkTimescaleVersion(version)).not.toThrow();
    },
  );
});
