import { parseAddress } from '../../stream/sentinel-primary.ts';
import { type Place, placeText, type SentinelTopology } from '../../stream/topology.ts';
import type { Asking } from './asking.ts';
import { type Check, failure, ok, unknown, warning } from './check.ts';
import { clocksCheck, replicasCheck, replicasOf, skewOf } from './nodes.ts';
import { attempt, codeOf, type Result, succeeded } from './results.ts';

/** Checks the sentinels of REDIS_URL, and the primary and the replicas that they name. */
export async function checkSentinels(
  { sentinels, name }: SentinelTopology,
  asking: Asking,
): Promise<readonly Check[]> {
  const words = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name] as const;
  const named = await Promise.all(
    sentinels.map((place) =>
      attempt(place, async () => parseAddress(await asking.askSentinel(place, words))),
    ),
  );
  const reached = named.filter(succeeded);
  const primary = reached.find(({ value }) => value !== null)?.value ?? null;
  const checks = [sentinelsCheck(named, reached.length), agreementCheck(reached, name)];
  const [first] = reached;
  if (first !== undefined) checks.push(await quorumCheck(first.place, name, asking));
  if (primary === null) return checks;
  return [...checks, ...(await checkServers(asking.translate(primary), asking))];
}

/** One sentinel that fails would leave no other to ask. */
const minSentinels = 2;

function sentinelsCheck(all: readonly Result<unknown>[], reached: number): Check {
  const check = 'sentinels';
  const silent = all
    .filter((one) => !succeeded(one))
    .map((one) => `${placeText(one.place)} (${codeOf(one)})`);
  const text = `${reached} of ${all.length} in REDIS_URL answer`;
  const missing = silent.length === 0 ? text : `${text}, not ${silent.join(', ')}`;
  if (reached < minSentinels) {
    return failure(check, `${missing}: name at least ${minSentinels} that answer`);
  }
  return silent.length === 0 ? ok(check, text) : warning(check, missing);
}

function agreementCheck(
  reached: readonly { readonly place: Place; readonly value: Place | null }[],
  name: string,
): Check {
  const check = 'primary';
  const named = new Set(reached.map(({ value }) => (value === null ? 'none' : placeText(value))));
  const [only = 'none'] = named;
  if (named.size > 1) {
    const message = `the sentinels name ${[...named].join(' and ')} as ${name}: a failover in progress, or sentinels that do not reach each other`;
    return warning(check, message);
  }
  if (only !== 'none') return ok(check, `${name} is ${only}`);
  return reached.length === 0
    ? unknown(check, 'no sentinel answers')
    : failure(check, `the sentinels know no primary named ${name}: check the name in REDIS_URL`);
}

async function quorumCheck(place: Place, name: string, { askSentinel }: Asking): Promise<Check> {
  const check = 'quorum';
  const found = await attempt(place, () => askSentinel(place, ['SENTINEL', 'CKQUORUM', name]));
  if (succeeded(found)) return ok(check, String(found.value).replace(/^OK /, ''));
  const said = found.error.cause instanceof Error ? found.error.cause.message : '';
  if (said.startsWith('NOQUORUM')) return failure(check, `no failover is possible: ${said}`);
  return unknown(check, `${placeText(place)} answered ${codeOf(found)} to SENTINEL CKQUORUM`);
}

async function checkServers(primary: Place, asking: Asking): Promise<readonly Check[]> {
  const info = await attempt(primary, () => asking.ask(primary, ['INFO', 'replication']));
  if (!succeeded(info)) {
    return [unknown('redis replicas', `${placeText(primary)} answered ${codeOf(info)} to INFO`)];
  }
  const text = String(info.value);
  const servers = [primary, ...replicasOf(text).map(({ place }) => asking.translate(place))];
  const clocks = clocksCheck(await clocksOf(servers, asking));
  return [replicasCheck([{ place: primary, info: text }]), clocks];
}

async function clocksOf(servers: readonly Place[], { ask }: Asking) {
  return await Promise.all(
    servers.map((place) => attempt(place, async () => skewOf(await ask(place, ['TIME'])))),
  );
}
