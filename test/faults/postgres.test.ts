import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { askPostgres } from '../../tools/servers/ask.ts';
import type { LocalServer } from '../../tools/servers/servers.ts';
import type { RunningService } from '../../tools/service.ts';
import { databaseUrl } from '../setup/database.ts';
import {
  failureCodes,
  outage,
  quickRetries,
  repeated,
  settle,
  untilReadyAgain,
  untilUnready,
} from './outage.ts';
import {
  openScenario,
  type Scenario,
  type ScenarioOptions,
  seed,
  testLimitMs,
  times,
} from './scenario.ts';

/** Steady load, which one instance carries alone; more than any run needs, ended by the case. */
const load = { seed, records: 2_000_000, rate: times(500, 2_000), env: quickRetries };

describe('PostgreSQL, under load, with readiness reporting it and nothing lost or doubled,', () => {
  test(
    'is restarted in order, killed -9 and restarted, and down for a while',
    async () => {
      const { scenario, service, server } = await openWithServer();
      const down = (signal: NodeJS.Signals, whileDown?: () => Promise<void>) =>
        outage(
          service,
          'database',
          () => server.kill(signal),
          () => server.restart(),
          whileDown,
        );
      const restarts = await repeated(times(1, 5), () => down('SIGINT'));
      const kills = await repeated(times(1, 5), () => down('SIGKILL'));
      const goneMs = times(2_000, 60_000);
      let waiting = 0;
      const gone = await down('SIGINT', async () => {
        await sleep(goneMs);
        waiting = (await scenario.backlog()).undelivered;
      });
      expect(waiting).toBeGreaterThan(0);
      await settle('PostgreSQL down', scenario, { restarts, kills, goneMs, waiting, gone });
    },
    testLimitMs,
  );

  test(
    'has its connections terminated repeatedly',
    async () => {
      const { scenario, service, database } = await openWithDatabase();
      const harmedUntil = performance.now() + times(1_000, 10_000);
      let terminated = 0;
      const noticed = untilUnready(service, 'database');
      while (performance.now() < harmedUntil || terminated < 2) {
        terminated += await terminate(database);
        await sleep(20);
      }
      const noticedMs = await noticed;
      const healedMs = await untilReadyAgain(service);
      await settle('connections terminated', scenario, { terminated, noticedMs, healedMs });
    },
    testLimitMs,
  );

  test(
    'has no connection left for the service (53300)',
    async () => {
      const role = `faults_${randomUUID().replaceAll('-', '')}`;
      const { scenario, service, database } = await openWithDatabase(ownedBy(role));
      const outages = await repeated(times(1, 5), () =>
        outage(
          service,
          'database',
          async () => {
            await database.query(`ALTER ROLE ${role} CONNECTION LIMIT 0`);
            await terminate(database);
          },
          () => database.query(`ALTER ROLE ${role} CONNECTION LIMIT -1`),
          () => sleep(times(300, 5_000)),
        ),
      );
      expect(failureCodes(service, 'database')).toContain('53300');
      await settle('out of connections', scenario, { outages });
    },
    testLimitMs,
  );

  test(
    'has positions locked for longer than LOCK_TIMEOUT_MS (55P03)',
    async () => {
      const { scenario, service, database } = await openWithDatabase();
      const outages = await repeated(times(2, 10), () =>
        outage(
          service,
          'database',
          () => database.query('BEGIN; LOCK TABLE public.positions IN ACCESS EXCLUSIVE MODE'),
          () => database.query('COMMIT'),
        ),
      );
      expect(failureCodes(service, 'database')).toContain('55P03');
      await settle('positions locked', scenario, { outages });
    },
    testLimitMs,
  );

  test(
    'takes longer than STATEMENT_TIMEOUT_MS for an insert (57014)',
    async () => {
      // Far apart, so that it is the server that ends the statement and not our own deadline.
      const env = { ...quickRetries, STATEMENT_TIMEOUT_MS: '600', LOCK_TIMEOUT_MS: '500' };
      const { scenario, service, database } = await openWithDatabase({ env });
      await database.query(sleepOnCommand);
      const outages = await repeated(times(1, 5), () =>
        outage(
          service,
          'database',
          () => database.query('UPDATE faults_sleep SET seconds = 60'),
          () => database.query('UPDATE faults_sleep SET seconds = 0'),
        ),
      );
      expect(failureCodes(service, 'database')).toContain('57014');
      await settle('statement timeout', scenario, { outages });
    },
    testLimitMs,
  );

  test(
    'is read-only for a while, as in a failover (READ_ONLY)',
    async () => {
      const { scenario, service, database } = await openWithDatabase();
      const name = new URL(scenario.postgres.url).pathname.slice(1);
      const outages = await repeated(times(1, 5), () =>
        outage(
          service,
          'database',
          async () => {
            await database.query(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
            // Sessions have the setting of the time they began.
            await terminate(database);
          },
          () => database.query(`ALTER DATABASE ${name} RESET default_transaction_read_only`),
          () => sleep(times(300, 5_000)),
        ),
      );
      expect(failureCodes(service, 'database')).toContain('READ_ONLY');
      await settle('read-only', scenario, { outages });
    },
    testLimitMs,
  );
});

interface Case {
  readonly scenario: Scenario;
  readonly service: RunningService;
}

async function openWithServer(): Promise<Case & { readonly server: LocalServer }> {
  const scenario = await openScenario({ ...load, ownPostgres: true });
  const { server } = scenario.postgres;
  if (server === null) throw new TypeError('the scenario has no PostgreSQL of its own');
  const service = scenario.start('one');
  await service.untilReady();
  return { scenario, service, server };
}

/** On the suite's server, of which the case harms nothing but its own database. */
async function openWithDatabase(
  options: Partial<ScenarioOptions> = {},
): Promise<Case & { readonly database: Client }> {
  const scenario = await openScenario({ ...load, ...options });
  const service = scenario.start('one');
  await service.untilReady();
  return { scenario, service, database: await openClient(scenario.postgres.url) };
}

async function openClient(connectionString: string): Promise<Client> {
  const client = new Client({ connectionString });
  client.on('error', () => {});
  onTestFinished(() => client.end());
  await client.connect();
  return client;
}

/** The service as the owner of its database; a superuser would have no limit. */
function ownedBy(role: string): Pick<ScenarioOptions, 'postgresUrlFor'> {
  // Before the scenario's own, so that it runs after it: the database has to go first.
  onTestFinished(async () => {
    await askPostgres(databaseUrl(), `DROP ROLE IF EXISTS ${role}`);
  });
  return {
    async postgresUrlFor(url) {
      const own = new URL(url);
      own.username = role;
      own.password = randomUUID();
      await askPostgres(url, `CREATE ROLE ${role} LOGIN PASSWORD '${own.password}'`);
      await askPostgres(url, `ALTER DATABASE ${own.pathname.slice(1)} OWNER TO ${role}`);
      return own.href;
    },
  };
}

/** Ends the service's connections to this database. @returns how many it had */
async function terminate(database: Client): Promise<number> {
  const { rowCount } = await database.query(`
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name LIKE 'processor:%' AND datname = current_database()`);
  return rowCount ?? 0;
}

const sleepOnCommand = `
  CREATE TABLE faults_sleep (seconds integer NOT NULL);
  INSERT INTO faults_sleep VALUES (0);
  CREATE FUNCTION faults_sleep() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN PERFORM pg_sleep(seconds) FROM public.faults_sleep WHERE seconds > 0; RETURN NULL; END';
  CREATE TRIGGER faults_sleep BEFORE INSERT ON public.positions
    FOR EACH STATEMENT EXECUTE FUNCTION faults_sleep()`;
