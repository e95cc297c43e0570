import { Redis } from 'ioredis';
import {
  createCrossingLedger,
  type DrivingDevice,
  type ExpectedCrossings,
} from '../src/simulator/crossing-ledger.ts';
import type { SimulatedEntry } from '../src/simulator/entry.ts';
import { createFleet } from '../src/simulator/fleet.ts';
import { createSender } from '../src/simulator/sender.ts';

/** A simulated fleet that drives circuits through geofences, sent in two parts. */
export interface Drive {
  readonly devices: readonly DrivingDevice[];
  readonly first: readonly SimulatedEntry[];
  readonly second: readonly SimulatedEntry[];
}

const DEVICES = 20;
const RECORDS = 12_000;

/** The same seed gives the same routes; the times follow from `baseTime`. */
export function createDrive(seed: number, baseTime: number): Drive {
  const fleet = createFleet({
    seed,
    baseTime,
    devices: DEVICES,
    form: 'mixed',
    packetRecords: 8,
    expectedRecords: RECORDS,
    drivesCircuits: true,
  });
  return { devices: fleet.driving, first: entriesOf(fleet), second: entriesOf(fleet) };
}

function entriesOf(fleet: { next(): SimulatedEntry }): SimulatedEntry[] {
  const entries: SimulatedEntry[] = [];
  for (let records = 0; records < RECORDS / 2; ) {
    const entry = fleet.next();
    entries.push(entry);
    records += entry.records.length;
  }
  return entries;
}

/** Rows that the entries make in `positions`: each device and time counts once. */
export function countRows(entries: readonly SimulatedEntry[]): number {
  const positions = entries
    .flatMap(({ records }) => records)
    .filter((record) => record.kind === 'position');
  return new Set(positions.map(({ deviceId, ts }) => `${deviceId} ${ts}`)).size;
}

/** Crossings by the drives' own timeline, which knows neither shapes nor src/domain. */
export function crossingsOf(
  { devices }: Drive,
  entries: readonly SimulatedEntry[],
): ExpectedCrossings {
  const ledger = createCrossingLedger(devices);
  for (const entry of entries) ledger.add(entry);
  return ledger.expected();
}

/** Adds the entries to the stream. @throws SendError */
export async function send(
  redisUrl: string,
  stream: string,
  entries: readonly SimulatedEntry[],
  signal: AbortSignal,
): Promise<void> {
  const open = () => {
    const redis = new Redis(redisUrl, {
      protocol: 2,
      lazyConnect: true,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: () => null,
    });
    // A failed connection also rejects `connect`; without a listener ioredis prints it.
    redis.on('error', () => {});
    return redis;
  };
  const sender = createSender({ open, stream, onSent: () => {}, signal });
  try {
    await sender.send(entries);
  } finally {
    sender.close();
  }
}
