import { describe, expect, test } from 'vitest';
import { checkTimescaleVersion } from '../../src/db/timescale.ts';
import { describeTimescaledb, freshDatabase } from '../setup/database.ts';
import { all, edition, jobs, none, type Subject, subject } from './policy-subject.ts';
import { connect, silent } from './positions.ts';

// What takes one connection is in test/hypertable/policies.test.ts.
describeTimescaledb('policies on a server that has them, with several connections', () => {
  const onCommunity = (name: string, run: (subject: Subject) => Promise<void>) =>
    test(name, async ({ skip }) => {
      const here = await subject(freshDatabase);
      if ((await edition(here.client)) !== 'community') skip('needs the Community edition');
      await run(here);
    });

  onCommunity('a second run waits for no reader or writer', async (here) => {
    await here.configure(all);
    const busy = await connect(here.url);
    await busy.query('BEGIN; LOCK TABLE public.positions IN ROW EXCLUSIVE MODE');

    const again = await here.configure({ ...all, lockTimeoutMs: 100, migrationLockTimeoutMs: 100 });

    expect(again.policies).toMatchObject(all);
  });

  onCommunity('of five instances that start at once each policy is added once', async (here) => {
    await Promise.all(Array.from({ length: 5 }, () => here.configure(all)));

    // Columnstore, retention, two aggregates, and the job that forgets devices without rows.
    expect(await jobs(here.client)).toHaveLength(5);
  });
});

describe('policies on a server without them', () => {
  test('are refused in one line that says what to do', async ({ skip }) => {
    const { client, configure } = await subject(freshDatabase);
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
    const { configure } = await subject(freshDatabase);

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
