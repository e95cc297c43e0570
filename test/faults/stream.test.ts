import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { createFleet, type Fleet } from '../../src/simulator/fleet.ts';
import { plainHabits } from '../../src/simulator/habits.ts';
import type { RunningService } from '../../tools/service.ts';
import { freezeHolding } from './instances.ts';
import { quickRetries, settle, untilSettled } from './outage.ts';
import {
  deadLetterKey,
  eventually,
  group,
  openScenario,
  type Scenario,
  type ScenarioOptions,
  seed,
  stream,
  testLimitMs,
  times,
} from './scenario.ts';

/** Nothing is fed before the case does it. */
const noLoad = { seed, records: 0, env: quickRetries };
/** Fed flat out before and after the harm. */
const portion = times(1_000, 50_000);
const steadyRate = times(500, 2_000);

const groupRecreated = 'processor_stream_events_total{event="group_recreated"}';
const trimmedPending = 'processor_stream_entries_lost_total{cause="trimmed_pending"}';
const trimmedUndelivered = 'processor_stream_entries_lost_total{cause="trimmed_undelivered"}';

describe('damage to the stream', () => {
  test(
    'FLUSHALL: the group is recreated once, and everything sent afterwards is stored',
    async () => {
      const { scenario, services } = await openSettled();
      const { client } = scenario;
      for (let round = 1; round <= times(1, 5); round += 1) {
        const letters = await client.xrangeBuffer(deadLetterKey, '-', '+');
        const doomed = createOthers(round);
        const sending = sendFor(client, doomed, times(300, 2_000));
        await sleep(times(150, 1_000));
        await client.flushall();
        // The ledger asks for these as well; they are not what this case is about.
        for (const [id, fields] of letters) {
          await client.call('XADD', deadLetterKey, id, ...fields);
        }
        await sending;
        await untilGroupIsBack(scenario, services, round);
        await scenario.feed(portion);
        await untilSettled(scenario);
        expect(await sumOf(services, groupRecreated)).toBe(round);
      }
      await settle('FLUSHALL', scenario, { rounds: times(1, 5) });
    },
    testLimitMs,
  );

  test(
    'XGROUP DESTROY: the stream is read again from the start, and only dead letters are doubled',
    async () => {
      const { scenario, services } = await openSettled({ rate: steadyRate });
      const { client } = scenario;
      const fed = scenario.feed(portion);
      for (let round = 1; round <= times(1, 5); round += 1) {
        await sleep(scenario.random.between(100, 500));
        await client.xgroup('DESTROY', stream, group);
        await untilGroupIsBack(scenario, services, round);
      }
      await fed;
      await untilSettled(scenario);
      expect(await sumOf(services, groupRecreated)).toBe(times(1, 5));
      const repeats = await sumOf(services, 'processor_records_total{outcome="duplicate"}');
      expect(repeats).toBeGreaterThanOrEqual(portion);
      const lettersTwice = await dropRepeatedLetters(client);
      await settle('XGROUP DESTROY', scenario, { repeats, lettersTwice });
    },
    testLimitMs,
  );

  test.each([
    ['its next life', 'victim'],
    ['another instance', 'heir'],
  ])(
    'XTRIM during reads by %s: pending and undelivered entries are counted exactly',
    async (_who, heir) => {
      const scenario = await openScenario(noLoad);
      const { client } = scenario;
      const victim = scenario.start('victim', { IN_FLIGHT_RECORDS: '500', BATCH_ROWS: '500' });
      await victim.untilReady();
      await sendFor(client, createOthers(1), 100);
      const sending = sendFor(client, createOthers(2), 400);
      await freezeHolding(victim, () => scenario.pendingOf('victim'));
      await sending;
      await victim.end('SIGKILL');
      const { pending, undelivered } = await scenario.backlog();
      expect(pending).toBeGreaterThan(0);
      expect(undelivered).toBeGreaterThan(0);

      await client.xtrim(stream, 'MAXLEN', 0);
      const service = scenario.start(heir);
      await service.untilReady();
      await scenario.feed(portion);
      await untilSettled(scenario);
      expect(await service.metric(trimmedPending)).toBe(pending);
      expect(await service.metric(trimmedUndelivered)).toBe(undelivered);
      await settle('XTRIM', scenario, { heir, pending, undelivered });
    },
    testLimitMs,
  );

  test(
    'XTRIM of a part, while two instances read: each lost entry is counted once',
    async () => {
      const { scenario, services } = await openSettled();
      const { client } = scenario;
      let lost = 0;
      for (let round = 1; round <= times(1, 20); round += 1) {
        for (const { process } of services) process.kill('SIGSTOP');
        // Or their blocked reads would still get the first ones.
        await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
        await sendFor(client, createOthers(round), 100);
        const { pending, undelivered } = await scenario.backlog();
        expect(pending).toBe(0);
        const kept = scenario.random.int(1, undelivered - 1);
        await client.xtrim(stream, 'MAXLEN', kept);
        lost += undelivered - kept;
        for (const { process } of services) process.kill('SIGCONT');
        await scenario.feed(portion);
        await untilSettled(scenario);
      }
      expect(await sumOf(services, trimmedPending)).toBe(0);
      expect(await sumOf(services, trimmedUndelivered)).toBe(lost);
      await settle('XTRIM of a part', scenario, { lost });
    },
    testLimitMs,
  );
});

/** Two instances that have stored a first portion and acknowledged it. */
async function openSettled(options: Partial<ScenarioOptions> = {}) {
  const scenario = await openScenario({ ...noLoad, records: portion, ...options });
  const services = [scenario.start('one'), scenario.start('two')];
  await Promise.all(services.map((service) => service.untilReady()));
  await scenario.feeding;
  await untilSettled(scenario);
  return { scenario, services };
}

/** A fleet beside the ledger's: what becomes of its entries is open. It leaves no dead letter. */
function createOthers(round: number): Fleet {
  return createFleet({
    seed: seed + round,
    baseTime: Date.now(),
    devices: 100,
    form: 'mixed',
    packetRecords: 4,
    habits: plainHabits,
    expectedRecords: 2_000_000,
  });
}

async function sendFor(client: Redis, fleet: Fleet, ms: number): Promise<void> {
  const until = performance.now() + ms;
  while (performance.now() < until) {
    const pipeline = client.pipeline();
    for (let count = 0; count < 50; count += 1) {
      pipeline.call('XADD', stream, '*', ...fleet.next().fields);
    }
    await pipeline.exec();
    await sleep(5);
  }
}

/** Made by one of the instances, and by one of them only. */
async function untilGroupIsBack(
  scenario: Scenario,
  services: readonly RunningService[],
  rounds: number,
): Promise<void> {
  await eventually('the group is recreated', async () =>
    (await sumOf(services, groupRecreated)) >= rounds ? true : undefined,
  );
  expect(await sumOf(services, groupRecreated)).toBe(rounds);
  expect(await scenario.client.exists(stream)).toBe(1);
}

async function sumOf(services: readonly RunningService[], series: string): Promise<number> {
  const values = await Promise.all(services.map((service) => service.metric(series)));
  return values.reduce((sum, value) => sum + value, 0);
}

/** Fields of a dead letter that describe the attempt and not the entry. */
const ofTheAttempt: readonly string[] = ['deliveries', 'instance', 'at'];

/**
 * An entry that is read again is dead-lettered again. The second letter must say the same; it is
 * taken away, so that the ledger can tell whether anything else stands twice.
 */
async function dropRepeatedLetters(client: Redis): Promise<number> {
  const seen = new Map<string, string>();
  let dropped = 0;
  for (const [id, fields] of await client.xrangeBuffer(deadLetterKey, '-', '+')) {
    const letter = new Map<string, string>();
    for (let at = 0; at + 1 < fields.length; at += 2) {
      letter.set(String(fields[at]), fields[at + 1]?.toString('base64') ?? '');
    }
    const place = `${letter.get('entry_id')}/${letter.get('record_index')}`;
    for (const name of ofTheAttempt) letter.delete(name);
    const content = JSON.stringify([...letter]);
    const first = seen.get(place);
    if (first === undefined) {
      seen.set(place, content);
      continue;
    }
    expect(content).toBe(first);
    dropped += await client.xdel(deadLetterKey, String(id));
  }
  return dropped;
}
