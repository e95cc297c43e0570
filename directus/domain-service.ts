import pg from 'pg';
import { checkContract } from '../src/db/domain-contract.ts';
import type { DomainOptions } from '../src/domain/types.ts';
import { eventually, type RunningService, startService } from '../tools/service.ts';
import type { Urls } from './database.ts';

export const stream = 'telemetry:t';

/** The defaults of DOMAIN_MAX_HOP and REHYDRATE_HORIZON. */
export const domainOptions: DomainOptions = {
  maxHopMs: 2 * 60_000,
  maxSilenceMs: 30 * 86_400_000,
};

const SUBJECT = 'vehicle';
const CONTRACT_OK = 'processor_domain_contract_ok{handler="geofences"}';
/** The contract is checked every 30 s. */
const STATE_MS = 180_000;

/** The real service with the domain on, each part under its own role. */
export function startDomain(urls: Urls, redisUrl: string): RunningService {
  return startService({
    REDIS_URL: redisUrl,
    REDIS_TELEMETRY_STREAM: stream,
    POSTGRES_URL: urls.writer,
    MIGRATION_POSTGRES_URL: urls.migrator,
    DOMAIN: 'on',
    DOMAIN_POSTGRES_URL: urls.domain,
    DOMAIN_SUBJECT_COLUMN: SUBJECT,
    DOMAIN_POLL_MS: '500',
  });
}

export async function untilDomainIsOn(service: RunningService): Promise<void> {
  const isOn = async () => ((await service.metric(CONTRACT_OK)) === 1 ? true : undefined);
  await eventually('the domain is on', isOn, STATE_MS);
}

/** The domain is off and its log names the fault, once `change` is made; the service stays ready. */
export async function turnsOff(
  service: RunningService,
  object: string,
  problem: string,
  change: () => Promise<void>,
): Promise<void> {
  const since = service.logs.length;
  await change();
  const fault = JSON.stringify({ object, problem }).slice(0, -1);
  const isNamed = () =>
    service.logs.slice(since).some(({ faults }) => JSON.stringify(faults ?? null).includes(fault));
  await eventually(`the log names ${object}`, () => (isNamed() ? true : undefined), STATE_MS);
  const isOff = async () => ((await service.metric(CONTRACT_OK)) === 0 ? true : undefined);
  await eventually('the domain is off', isOff, STATE_MS);
  if ((await service.health('ready')) !== 200) throw new Error('the service is not ready');
}

/** The check of the service, at once. @throws with the first fault or warning */
export async function checkPromises(urls: Urls): Promise<void> {
  const client = new pg.Client({ connectionString: urls.domain, ssl: false });
  await client.connect();
  try {
    const timingTable = { schema: 'public', name: 'timing_records' };
    const check = await checkContract(client, { timingTable, subjectColumn: SUBJECT });
    const [fault] = check.ok ? check.warnings : check.faults;
    if (fault !== undefined) throw new Error(`${fault.object}: ${fault.problem}`);
  } finally {
    await client.end();
  }
}
