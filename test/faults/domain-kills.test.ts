/** Two instances that are killed at any moment, on a backlog in no order, while geofences change. */
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { contractWatch } from '../../src/db/domain-watch.ts';
import { crossingId } from '../../src/domain/crossing-id.ts';
import { derive } from '../../src/domain/derive.ts';
import { evaluationsOf } from '../../src/domain/evaluation.ts';
import type { Fix } from '../../src/domain/types.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { eventually } from '../../tools/service.ts';
import { dayMs } from '../db/positions.ts';
import { storeFixes } from '../domain/real-store.ts';
import { driveFrom } from '../domain/road.ts';
import { fenceAt, imei, openWorld, startTs } from '../integration/domain-world.ts';
import { report, seed, testLimitMs, times } from './mode.ts';

const kills = times(4, 100);
const devices = times(20, 100);
/** From the replacement of one victim to the next: moments of the start-up and of the work. */
const longestLifeMs = times(1_500, 6_000);

async function liveIds(client: pg.Client): Promise<readonly string[]> {
  const { rows } = await client.query<{ id: string }>(
    `SELECT id::text FROM public.timing_records WHERE superseded_at IS NULL ORDER BY 1`,
  );
  return rows.map(({ id }) => id);
}

/** What a derivation from scratch gives for all that is stored. */
async function derivedIds(client: pg.Client): Promise<readonly string[]> {
  const watch = contractWatch({
    maxGeofences: 1000,
    maxVertices: 10_000,
    recomputeHorizonMs: 30 * dayMs,
    timingTable: { schema: 'public', name: 'timing_records' },
    subjectColumn: 'vehicle',
  });
  const turn = await watch.turn(client);
  if (!turn.ok) throw new Error(JSON.stringify(turn.faults));
  const { contract } = turn;
  const ids: string[] = [];
  for (let number = 1; number <= devices; number += 1) {
    const { rows } = await client.query<Fix>(
      `SELECT (extract(epoch FROM ts) * 1000)::float8 AS ts, latitude, longitude
         FROM public.positions WHERE device_id = $1 ORDER BY 1`,
      [imei(number)],
    );
    const assignments = contract.assignmentsOf(imei(number));
    const evaluations = contract.index.all.flatMap((one) => evaluationsOf(one, assignments));
    const options = { maxHopMs: 120_000, maxSilenceMs: 30 * dayMs };
    ids.push(...derive(rows, evaluations, options).map(crossingId));
  }
  return ids.toSorted();
}

test(
  `two instances that are killed ${kills} times leave exactly what derivation gives`,
  async () => {
    const random = createRandom(seed, 14);
    const world = await openWorld();
    const fences: string[] = [];
    for (let metres = 105; metres < 900; metres += 200) {
      fences.push(await fenceAt(world.client, metres));
    }
    for (let number = 1; number <= devices; number += 1) await world.register(imei(number));

    const running = [world.service({ CONSUMER_NAME: 'a' }), world.service({ CONSUMER_NAME: 'b' })];
    await Promise.all(running.map((service) => service.untilReady()));
    const backlog = shuffledBacklog(random);
    let isFed = false;
    async function feed(): Promise<void> {
      for (const { device, fixes } of backlog) {
        await storeFixes(world.client, imei(device), fixes);
        await sleep(2);
      }
      isFed = true;
    }
    async function edit(): Promise<void> {
      const fence = fences[random.int(0, fences.length - 1)];
      const status = random.int(0, 1) === 0 ? 'archived' : 'published';
      await world.client.query(
        'UPDATE public.geofences SET status = $1, date_updated = clock_timestamp() WHERE id = $2',
        [status, fence],
      );
    }
    const feeding = feed();
    for (let kill = 0; kill < kills; kill += 1) {
      await sleep(random.int(0, longestLifeMs));
      const victim = random.int(0, 1);
      await running[victim]?.end('SIGKILL');
      running[victim] = world.service({ CONSUMER_NAME: victim === 0 ? 'a' : 'b' });
      if (random.int(0, 2) === 0) await edit();
      // Work for those that are there: everything again.
      if (isFed) await enqueueAll(world.client);
    }
    await feeding;
    await edit();

    const settled = await eventually(
      'the outbox is empty and the live records are those of the derivation',
      async () => {
        const { rows } = await world.client.query('SELECT FROM positions.outbox LIMIT 1');
        if (rows.length > 0) return undefined;
        const [live, derived] = [await liveIds(world.client), await derivedIds(world.client)];
        return JSON.stringify(live) === JSON.stringify(derived) ? derived : undefined;
      },
      testLimitMs / 2,
    );
    report('domain kills', { kills, crossings: settled.length });
    expect(settled.length).toBeGreaterThan(0);
    const parked = await world.client.query('SELECT FROM positions.outbox_parked');
    expect(parked.rows).toEqual([]);
    for (const service of running) {
      await service.untilReady();
      const mismatches = 'processor_domain_state_mismatch_total{handler="geofences"}';
      expect(await service.metric(mismatches)).toBe(0);
      expect(await service.end('SIGTERM')).toBe(0);
    }
  },
  testLimitMs,
);

interface Part {
  readonly device: number;
  readonly fixes: readonly Fix[];
}

/** The drives of all devices, cut into small parts, in no order, some of them twice. */
function shuffledBacklog(random: ReturnType<typeof createRandom>): Part[] {
  const parts: Part[] = [];
  for (let device = 1; device <= devices; device += 1) {
    const fixes = [0, 1, 2].flatMap((round) => driveFrom(startTs + round * 600_000, 0, 1_000));
    for (let from = 0; from < fixes.length; from += 10) {
      parts.push({ device, fixes: fixes.slice(from, from + 10) });
    }
  }
  const again = parts.filter(() => random.int(0, 9) === 0);
  return [...parts, ...again]
    .map((part) => ({ part, rank: random.int(0, 1_000_000) }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ part }) => part);
}

async function enqueueAll(client: pg.Client): Promise<void> {
  await client.query(
    `INSERT INTO positions.outbox (device_id, from_ts, to_ts)
     SELECT device_id, '-infinity', 'infinity' FROM positions.devices`,
  );
}
