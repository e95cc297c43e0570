/** What the service reports of an outage, from outside: its probes and its log. */
import { expect } from 'vitest';
import { eventually, type RunningService } from '../../tools/service.ts';
import { report, times } from './mode.ts';
import type { Scenario } from './scenario.ts';

/** A server that the service depends on. */
export type Dependency = 'redis' | 'database';

/** A check of the readiness probe. */
export type Check = Dependency | 'dead_letters';

export interface Outage {
  /** From the harm until readiness was off. */
  readonly noticedMs: number;
  /** From the end of the harm until readiness was on again. */
  readonly healedMs: number;
}

/** For two busy cores and the pause between two looks. */
export const graceMs = times(60_000, 2_000);

/** Above the longest pause between two attempts, also when the retry budget is spent. */
const recoveryLimitMs = 60_000;

/** For some ten thousand records on busy cores. */
const settledWithinMs = times(120_000, 300_000);

/** For every instance of such a case: a server that is back is asked again soon. */
export const quickRetries = {
  BREAKER_COOL_DOWN_MS: '300',
  POSTGRES_CONNECT_TIMEOUT_MS: '1000',
  REDIS_COMMAND_TIMEOUT_MS: '1000',
} as const;

/**
 * Harms a server, waits until readiness is off because of it, ends the harm and waits until
 * readiness is on again, in the same process. Meanwhile the process counts as alive and the other
 * dependency as working.
 * @param whileDown what the case does between the two, in the middle of the outage
 */
export async function outage(
  service: RunningService,
  check: Check,
  harm: () => unknown,
  heal: () => unknown,
  whileDown: () => unknown = () => undefined,
): Promise<Outage> {
  await service.untilReady();
  const { pid } = service.process;
  await harm();
  const noticedMs = await untilUnready(service, check);
  await whileDown();
  expect(await service.health('live')).toBe(200);
  await heal();
  const healedMs = await untilReadyAgain(service);
  expect(service.process).toMatchObject({ pid, exitCode: null, signalCode: null });
  return { noticedMs, healedMs };
}

/**
 * Milliseconds from now until readiness is off, which must be because of this check only. Without Redis
 * no dead letter is written either, so that check may be off as well then.
 */
export async function untilUnready(service: RunningService, check: Check): Promise<number> {
  const since = performance.now();
  const checks = await eventually(`readiness is off because of ${check}`, async () => {
    const { ok, checks } = await readiness(service);
    return ok ? undefined : checks;
  });
  const ms = Math.round(performance.now() - since);
  expect(checks[check]).toMatch(/^(unavailable|configuration): /);
  const allowed = check === 'redis' ? ['redis', 'dead_letters'] : [check];
  const off = Object.keys(checks).filter((name) => checks[name] !== 'ok');
  expect(off.filter((name) => !allowed.includes(name))).toEqual([]);
  return ms;
}

/** Milliseconds from now until readiness is on. */
export async function untilReadyAgain(service: RunningService): Promise<number> {
  const since = performance.now();
  await eventually(
    'readiness is on again',
    async () => ((await readiness(service)).ok ? true : undefined),
    recoveryLimitMs,
  );
  return Math.round(performance.now() - since);
}

/** The codes with which attempts at this check's work failed so far; of repeated failures the first. */
export function failureCodes(service: RunningService, check: Check): Set<unknown> {
  const failures = service.logs.filter(({ msg, dependency }) =>
    check === 'dead_letters'
      ? msg === 'dead letters cannot be written; their entries stay pending'
      : msg === 'dependency failed; reading is blocked' && dependency === check,
  );
  return new Set(failures.map(({ code }) => code));
}

export async function repeated<Result>(
  count: number,
  once: () => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  for (let round = 0; round < count; round += 1) results.push(await once());
  return results;
}

/** Waits until everything sent so far is acknowledged. */
export async function untilSettled(scenario: Scenario): Promise<void> {
  await eventually(
    'everything is acknowledged',
    async () => {
      const { pending, undelivered } = await scenario.backlog();
      return pending + undelivered === 0 ? true : undefined;
    },
    settledWithinMs,
  );
}

/** Ends the load and asserts what `finish` of the scenario asserts. */
export async function settle(what: string, scenario: Scenario, numbers: object): Promise<void> {
  await scenario.stopFeeding();
  report(what, { ...numbers, ...(await scenario.finish()) });
}

interface Readiness {
  readonly ok: boolean;
  readonly checks: Readonly<Record<string, string>>;
}

async function readiness(service: RunningService): Promise<Readiness> {
  const response = await fetch(`${await service.url()}/health/ready`);
  const found: unknown = await response.json();
  if (!isReadiness(found)) throw new TypeError('/health/ready answered in another shape');
  expect(response.status).toBe(found.ok ? 200 : 503);
  return found;
}

function isReadiness(found: unknown): found is Readiness {
  return (
    typeof found === 'object' &&
    found !== null &&
    'ok' in found &&
    typeof found.ok === 'boolean' &&
    'checks' in found &&
    typeof found.checks === 'object' &&
    found.checks !== null
  );
}
