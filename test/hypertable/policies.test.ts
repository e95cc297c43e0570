import { PassThrough } from 'node:stream';
import type { Client } from 'pg';
import { expect, test } from 'vitest';
import type { Check } from '../../src/cli/doctor/check.ts';
import { runDoctor } from '../../src/cli/doctor.ts';
import { migrate } from '../../src/db/migrator.ts';
import { applyColumnstore, describePolicies, policyDifferences } from '../../src/db/policies.ts';
import { startRedis } from '../../tools/servers/servers.ts';
import { all, edition, jobs, none, type Subject, subject } from '../db/policy-subject.ts';
import { dayMs, migrateOptions, migrations, silent } from '../db/positions.ts';
import { describeHypertable } from '../setup/hypertable.ts';

async function addRow(client: Client, ts: string): Promise<void> {
  await client.query(
    `INSERT INTO public.positions (device_id, ts, altitude, angle, speed, satellites, priority, fix, codec,
                            attributes)
     VALUES ('350000000000001', $1::timestamptz, 0, 0, 0, 0, 0, false, '8', '{}')`,
    [ts],
  );
}

async function compressAll(client: Client): Promise<void> {
  await client.query(
    "SELECT public.compress_chunk(c, true) FROM public.show_chunks('public.positions') AS c",
  );
}

describeHypertable('policies', (fresh) => {
  const onCommunity = (name: string, run: (subject: Subject) => Promise<void>) =>
    test(name, async ({ skip }) => {
      const here = await subject(fresh);
      if ((await edition(here.client)) !== 'community') skip('needs the Community edition');
      await run(here);
    });

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
    expect(before).toHaveLength(5);
    expect(await jobs(here.client)).toEqual(before);
  });

  onCommunity('are changed one by one, and the others are left alone', async (here) => {
    await here.configure(all);
    const before = await jobs(here.client);
    const { policies } = await here.configure({ ...all, columnstoreAfterMs: 45 * dayMs });

    expect(policies).toMatchObject({ ...all, columnstoreAfterMs: 45 * dayMs });
    const after = await jobs(here.client);
    expect(after).toHaveLength(5);
    const kept = before.filter((job) => JSON.stringify(after).includes(JSON.stringify(job)));
    expect(kept).toHaveLength(4);
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
    await here.client.query(
      "SELECT public.add_retention_policy('public.positions', INTERVAL '3 hours')",
    );
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
    const { rows } = await here.client.query('SELECT count(*)::int AS n FROM public.positions');
    expect(rows).toEqual([{ n: 1 }]);
  });

  onCommunity('another segment by hand is set right', async (here) => {
    await here.client.query(
      "ALTER TABLE public.positions SET (timescaledb.compress, timescaledb.compress_segmentby = 'codec')",
    );
    const { policies } = await here.configure(all);

    expect(policies).toMatchObject({ segmentBy: 'device_id', orderBy: 'ts DESC' });
  });

  onCommunity('the older names do the same as the newer ones', async ({ client }) => {
    const before = await describePolicies(client);
    await applyColumnstore(client, { names: 'compression', schema: 'public' }, before, 20 * dayMs);
    const on = await describePolicies(client);
    await applyColumnstore(client, { names: 'compression', schema: 'public' }, on, 40 * dayMs);
    const changed = await describePolicies(client);
    await applyColumnstore(client, { names: 'compression', schema: 'public' }, changed, null);

    expect(on).toMatchObject({ columnstoreAfterMs: 20 * dayMs, segmentBy: 'device_id' });
    expect(changed).toMatchObject({ columnstoreAfterMs: 40 * dayMs, orderBy: 'ts DESC' });
    expect(await describePolicies(client)).toEqual(before);
  });

  onCommunity('aggregates that hold more than positions are not dropped unasked', async (here) => {
    await here.configure({ aggregates: true });
    await addRow(here.client, '2026-03-01T12:00:00Z');
    await addRow(here.client, '2026-03-05T12:00:00Z');
    for (const view of ['device_hours', 'device_days']) {
      await here.client.query(
        `CALL public.refresh_continuous_aggregate('positions.${view}', NULL, NULL)`,
      );
    }
    await here.client.query(
      "SELECT public.drop_chunks('public.positions', '2026-03-03T00:00:00Z'::timestamptz)",
    );

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

  onCommunity('verify and off change no policy and report the effective ones', async (here) => {
    await here.configure(all);
    for (const mode of ['verify', 'off'] as const) {
      const { policies } = await here.configure({ ...none, mode });
      expect(policies).toMatchObject(all);
      expect(policyDifferences(policies, none)).toEqual(['columnstore', 'retention', 'aggregates']);
    }
  });

  test('are shown by processor doctor, which warns when they are not as configured', async () => {
    const database = await fresh();
    const server = await startRedis();
    await migrate(
      migrations,
      migrateOptions(database.url, { timescaledb: 'required', retentionMs: 3650 * dayMs }),
      silent,
    );
    const check = async (env: Record<string, string>) => {
      const stdout = new PassThrough();
      await runDoctor(
        {
          env: { REDIS_URL: server.url, POSTGRES_URL: database.url, ...env },
          stdin: new PassThrough(),
          stdout,
          stderr: new PassThrough(),
          signal: new AbortController().signal,
        },
        { json: true, strict: false },
      );
      const { checks }: { checks: Check[] } = JSON.parse(String(stdout.read()));
      return checks.find(({ name }) => name === 'policies');
    };
    const asConfigured = await check({ RETENTION: '3650d' });
    const notAsConfigured = await check({});
    await server.stop();
    await database.drop();

    // The Apache edition keeps no policies: what is configured is then not effective.
    if (asConfigured?.message.includes('edition community')) {
      expect(asConfigured.state).toBe('ok');
      expect(notAsConfigured?.state).toBe('warning');
      expect(notAsConfigured?.message).toContain('retention');
    } else {
      expect(asConfigured?.state).toBe('warning');
    }
  });
});
