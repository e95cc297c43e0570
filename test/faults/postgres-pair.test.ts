import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { askPostgres, untilAnswered } from '../../tools/servers/ask.ts';
import {
  type PairMember,
  type PostgresPair,
  startPostgresPair,
} from '../../tools/servers/postgres-pair.ts';
import { eventually } from '../../tools/service.ts';
import { runCommand } from '../cli/command.ts';
import {
  failureCodes,
  quickRetries,
  settle,
  untilReadyAgain,
  untilSettled,
  untilUnready,
} from './outage.ts';
import { openScenario, type Scenario, seed, testLimitMs, times } from './scenario.ts';

const load = { seed, records: 2_000_000, rate: times(500, 1_000), env: quickRetries };

let pair: PostgresPair;
/** The one that takes writes, or took them last. */
let primary: PairMember;
let standby: PairMember;
beforeAll(async () => {
  pair = await startPostgresPair();
  ({ one: primary, two: standby } = pair);
});
afterAll(() => pair.stop());

async function promote(): Promise<void> {
  await pair.promote(standby);
  [primary, standby] = [standby, primary];
}

/** Instances with a list of both hosts, in the order of the start. */
async function openPair(options: { records?: number } = {}) {
  const database = `telemetry_${randomUUID().replaceAll('-', '')}`;
  await untilAnswered(
    'the primary',
    () => askPostgres(primary.server.url, `CREATE DATABASE ${database}`),
    60_000,
  );
  const list = pair.url(database, pair.one, pair.two);
  const scenario = await openScenario({
    ...load,
    ...options,
    givenPostgres: {
      get url() {
        return pair.url(database, primary);
      },
    },
    postgresUrlFor: () => list,
  });
  const service = scenario.start('one');
  await service.untilReady();
  return { scenario, service, list };
}

function verify(scenario: Scenario, list: string, ...words: string[]) {
  const env = { REDIS_URL: scenario.redis.url, POSTGRES_URL: list };
  return runCommand(env, ['verify', '--from', '1h', ...words]);
}

describe('a PostgreSQL pair behind a list of hosts, under load,', () => {
  test(
    'loses its primary, with a synchronous standby: the ledger stays exact over each promotion',
    async () => {
      const { scenario, service } = await openPair();
      const failovers: object[] = [];
      for (let round = 0; round < times(1, 12); round += 1) {
        const harm = (['SIGSTOP', 'SIGQUIT', 'SIGKILL'] as const)[round % 3] ?? 'SIGKILL';
        await pair.untilReplayed(primary);
        await pair.synchronous(primary, true);
        await primary.server.kill(harm);
        const noticedMs = await untilUnready(service, 'database');
        await promote();
        const healedMs = await untilReadyAgain(service);
        failovers.push({ harm, noticedMs, healedMs });
        await pair.rejoin(standby);
      }
      await eventually('each change of the primary is counted', async () => {
        const changes = await service.metric('processor_database_primary_changes_total');
        return changes === failovers.length ? true : undefined;
      });
      await settle('PostgreSQL pair', scenario, { failovers });
    },
    testLimitMs,
  );

  test(
    'has two standbys and no primary: the service waits, writes no dead letter of it, and heals',
    async () => {
      const { scenario, service } = await openPair();
      await primary.server.kill('SIGINT');
      await pair.demote(primary);
      await untilUnready(service, 'database');
      expect(await service.health('live')).toBe(200);
      await promote();
      const healedMs = await untilReadyAgain(service);
      expect([...failureCodes(service, 'database')].join(' ')).toMatch(/STANDBY|NO_PRIMARY/);
      await pair.rejoin(standby);
      await settle('two standbys', scenario, { healedMs });
    },
    testLimitMs,
  );

  test(
    'promotes an asynchronous standby that lacks rows: verify finds them, --resend puts them back',
    async () => {
      const { scenario, list } = await openPair({ records: times(1_000, 20_000) });
      await scenario.feeding;
      await untilSettled(scenario);
      await pair.untilReplayed(primary);
      await standby.server.kill('SIGINT');
      await scenario.feed(times(1_000, 20_000));
      await untilSettled(scenario);
      const letters = await scenario.client.xlen('telemetry:teltonika:dlq');
      await primary.server.kill('SIGQUIT');
      await standby.server.restart();
      await promote();

      const found = await verify(scenario, list, '--json');
      expect(found.code).toBe(4);
      const lost = JSON.parse(found.stdout).missing;
      expect(lost).toBeGreaterThan(times(300, 6_000));
      const { code, stdout, stderr } = await verify(scenario, list, '--resend', '--yes', '--json');
      expect([code, stderr]).toEqual([0, '']);
      expect(JSON.parse(stdout).resent).toMatchObject({ dead_lettered: 0, unconfirmed: 0 });
      expect((await verify(scenario, list)).code).toBe(0);
      expect(await scenario.client.xlen('telemetry:teltonika:dlq')).toBe(letters);
      await pair.rejoin(standby);
      await settle('asynchronous standby', scenario, { lost });
    },
    testLimitMs,
  );
});
