import pg from 'pg';
import {
  areCrossingsClean,
  checkCrossings,
  formatCrossings,
} from '../../src/simulator/crossing-check.ts';
import {
  createCrossingLedger,
  type ExpectedCrossings,
} from '../../src/simulator/crossing-ledger.ts';
import { createCrossingSource } from '../../src/simulator/crossing-source.ts';
import { createFleet, type Fleet } from '../../src/simulator/fleet.ts';
import { geofenceFileOf } from '../../src/simulator/geofence-file.ts';
import { plainHabits } from '../../src/simulator/habits.ts';
import { createDirectus } from '../../tools/domain-fixture.ts';
import { insertDrives } from '../../tools/drive-fixture.ts';
import type { RunningService } from '../../tools/service.ts';
import { insertGeofences } from './contract.ts';

/** Geofences of a case, those of the circuits included. */
const geofencesInAll = 1_000;

export interface Drives {
  readonly fleet: Fleet;
  readonly entries: readonly (readonly (string | Buffer)[])[];
  readonly records: number;
  readonly expected: ExpectedCrossings;
}

/** A fleet on circuits, good records in order, and what it must leave. */
export function makeDrives(
  devices: number,
  records: number,
  baseTime: number,
  packetRecords: number,
): Drives {
  const fleet = createFleet({
    seed: 1,
    baseTime,
    devices,
    form: 'b',
    packetRecords,
    habits: plainHabits,
    expectedRecords: records,
    drivesCircuits: true,
  });
  const ledger = createCrossingLedger(fleet.driving);
  const entries: (readonly (string | Buffer)[])[] = [];
  let made = 0;
  while (made < records) {
    const entry = fleet.next();
    entries.push(entry.fields);
    ledger.add(entry);
    made += entry.records.length;
  }
  return { fleet, entries, records: made, expected: ledger.expected() };
}

/** Creates the collections, enters the fleet and fills up to 1,000 geofences. */
export async function enterDrives(url: string, { fleet, expected }: Drives): Promise<void> {
  await withClient(url, async (client) => {
    await createDirectus(client);
    await insertDrives(client, geofenceFileOf(fleet.driving));
    await insertGeofences(client, geofencesInAll - expected.geofences.size);
    await client.query('ANALYZE');
  });
}

/**
 * Waits until the outbox holds no device of this pattern.
 * @throws when a device is parked or the service ends
 */
export async function untilComputed(
  url: string,
  service: RunningService,
  devices = '%',
): Promise<void> {
  await withClient(url, async (client) => {
    for (;;) {
      const { rows } = await client.query<{ open: boolean; parked: boolean }>(
        `SELECT EXISTS (SELECT FROM positions.outbox WHERE device_id LIKE $1) AS open,
                EXISTS (SELECT FROM positions.outbox_parked) AS parked`,
        [devices],
      );
      if (rows[0]?.parked === true) throw new Error('a device is parked');
      if (service.process.exitCode !== null) throw new Error(`ended: ${service.stderr()}`);
      if (rows[0]?.open === false) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });
}

/** A benchmark whose answers are wrong measures nothing. @throws when a crossing is missing or extra */
export async function checkDrives(url: string, { fleet, expected }: Drives): Promise<void> {
  await withClient(url, async (client) => {
    const source = createCrossingSource(client, { schema: 'public', name: 'timing_records' });
    const check = await checkCrossings(expected, fleet.deviceIds, source);
    process.stderr.write(`${formatCrossings(check)}\n`);
    if (!areCrossingsClean(check)) throw new Error(check.problems.join('\n'));
  });
}

export async function withClient<Result>(
  url: string,
  work: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
