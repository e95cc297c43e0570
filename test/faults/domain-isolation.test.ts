/** Whatever the domain meets, ingestion goes on as if it were not there. */
import type pg from 'pg';
import { expect, test } from 'vitest';
import { eventually, type RunningService } from '../../tools/service.ts';
import { connect } from '../db/positions.ts';
import { fenceAt, imei, openWorld, type World } from '../integration/domain-world.ts';
import { report, testLimitMs, times } from './mode.ts';

const records = times(600, 6_000);
const drive = Array.from({ length: records }, (_, second) => second);
const inside = ['enter 205', 'exit 305'];

interface Harm {
  readonly name: string;
  readonly break: (client: pg.ClientBase) => Promise<unknown>;
  readonly repair: (client: pg.ClientBase) => Promise<unknown>;
  /** How the domain says it. */
  readonly kind: 'contract' | 'batch';
}

const asleep = `
  ALTER VIEW processor_contract.devices_v1 RENAME TO devices_awake;
  CREATE VIEW processor_contract.devices_v1 AS
    SELECT imei, device, subject, scope, valid_from, valid_to, changed_at
      FROM processor_contract.devices_awake, LATERAL (SELECT pg_sleep(60)) AS sleep`;

const harms: readonly Harm[] = [
  {
    name: 'a trigger of Directus refuses every timing record',
    kind: 'batch',
    break: (client) =>
      client.query(`
        CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
          AS $$ BEGIN RAISE EXCEPTION 'refused'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON public.timing_records
          FOR EACH ROW EXECUTE FUNCTION public.refuse()`),
    repair: (client) =>
      client.query(`
        DROP TRIGGER refuse ON public.timing_records;
        INSERT INTO positions.outbox (device_id, from_ts, to_ts)
          SELECT device_id, from_ts, to_ts FROM positions.outbox_parked;
        DELETE FROM positions.outbox_parked`),
  },
  {
    name: 'a view of the contract hangs',
    kind: 'contract',
    break: (client) => client.query(asleep),
    repair: (client) =>
      client.query(`
        DROP VIEW processor_contract.devices_v1;
        ALTER VIEW processor_contract.devices_awake RENAME TO devices_v1`),
  },
  {
    name: 'another session locks the table of timing records',
    kind: 'batch',
    break: async (client) => {
      await client.query('BEGIN');
      await client.query('LOCK TABLE public.timing_records IN ACCESS EXCLUSIVE MODE');
    },
    repair: (client) => client.query('ROLLBACK'),
  },
  {
    name: 'the contract is dropped',
    kind: 'contract',
    break: (client) => client.query('ALTER SCHEMA processor_contract RENAME TO gone'),
    repair: (client) => client.query('ALTER SCHEMA gone RENAME TO processor_contract'),
  },
  {
    name: 'a table of the domain is missing',
    kind: 'batch',
    break: (client) => client.query('ALTER TABLE positions.domain_version RENAME TO gone'),
    repair: (client) => client.query('ALTER TABLE positions.gone RENAME TO domain_version'),
  },
];

interface Ingested {
  /** Of all columns of all rows but the time of the insert. */
  readonly content: string;
  readonly records: number;
  readonly ms: number;
}

/** Drives one device and waits until every record is stored and acknowledged. */
async function ingest(world: World): Promise<Ingested> {
  const since = performance.now();
  await world.drive(imei(1), drive);
  await eventually('every record is stored', async () =>
    (await world.positions()) === records ? true : undefined,
  );
  await eventually('no entry is pending', async () =>
    (await world.pending()) === 0 ? true : undefined,
  );
  const ms = Math.round(performance.now() - since);
  const { rows } = await world.client.query<{ content: string }>(
    `SELECT md5(string_agg((to_jsonb(position) - 'ingested_at')::text, ' ' ORDER BY ts)) AS content
       FROM public.positions AS position`,
  );
  return { content: rows[0]?.content ?? '', records, ms };
}

let ingestedAlone: Promise<Ingested> | null = null;

/** The same drive with DOMAIN=off; once for all cases. */
function ingestionAlone(): Promise<Ingested> {
  async function run(): Promise<Ingested> {
    const world = await openWorld({ env: { DOMAIN: 'off' } });
    const one = world.service();
    await one.untilReady();
    const ingested = await ingest(world);
    expect(await one.end('SIGTERM')).toBe(0);
    return ingested;
  }
  ingestedAlone ??= run();
  return ingestedAlone;
}

/** The rate is reported and not asserted: other work on the machine moves it. */
async function expectIngestion(world: World, harm: string): Promise<void> {
  const alone = await ingestionAlone();
  const ingested = await ingest(world);
  report('ingestion beside a broken domain', { harm, ms: ingested.ms, alone_ms: alone.ms });
  expect(ingested.content).toBe(alone.content);
}

async function untilReported(one: RunningService, { kind }: Harm): Promise<void> {
  await eventually('the domain says what is wrong', async () => {
    const metric = await one.metrics();
    if (kind === 'contract') {
      return metric('processor_domain_contract_ok{handler="geofences"}') === 0 ? true : undefined;
    }
    const kinds = ['unavailable', 'configuration', 'data'];
    const hasFailed = kinds.some(
      (error) => metric(`processor_domain_errors_total{handler="geofences",kind="${error}"}`) > 0,
    );
    return hasFailed ? true : undefined;
  });
}

for (const harm of harms) {
  test(
    `${harm.name}: the same rows are stored as with DOMAIN=off, no entry stays pending, the service is ready`,
    async () => {
      const world = await openWorld({
        env: { STATEMENT_TIMEOUT_MS: '1500', LOCK_TIMEOUT_MS: '500' },
      });
      await fenceAt(world.client, 205);
      const device = await world.register(imei(1));
      const one = world.service();
      await one.untilReady();
      await eventually('the contract is loaded', () =>
        one.logs.find(({ msg }) => msg === 'geofences and assignments loaded'),
      );
      const other = await connect(world.url);
      await harm.break(other);
      // Until the next look at the contract the worker goes on with the one that it has.
      if (harm.kind === 'contract') await untilReported(one, harm);
      await expectIngestion(world, harm.name);
      await untilReported(one, harm);
      expect(await one.health('ready')).toBe(200);
      if (harm.kind === 'contract') expect(await world.crossings(device)).toEqual([]);
      await harm.repair(other);
      await world.untilCrossings(device, inside);
      expect(await one.end('SIGTERM')).toBe(0);
    },
    testLimitMs,
  );
}

test(
  'a role without any right: the same rows are stored as with DOMAIN=off, and the service is ready',
  async () => {
    const world = await openWorld();
    await fenceAt(world.client, 205);
    await world.register(imei(1));
    const role = `nothing_${process.pid}`;
    await world.client.query(`CREATE ROLE ${role} LOGIN PASSWORD 'nothing'`);
    try {
      const url = new URL(world.url);
      url.username = role;
      url.password = 'nothing';
      const one = world.service({ DOMAIN_POSTGRES_URL: url.href });
      await one.untilReady();
      await expectIngestion(world, 'a role without any right');
      await eventually('the domain says what is wrong', () =>
        one.logs.find(
          ({ msg }) => msg === 'the contract with Directus is broken; the domain is off',
        ),
      );
      expect(await one.health('ready')).toBe(200);
      expect(await one.end('SIGTERM')).toBe(0);
    } finally {
      await world.client.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  },
  testLimitMs,
);
