import type { Outcomes, Position } from '../../src/core/types.ts';
import { applyDomainTrigger } from '../../src/db/domain-switch.ts';
import { type Database, openDatabase } from '../../src/db/pool.ts';
import { createPositionWriter, type PositionWriter } from '../../src/db/position-writer.ts';
import { isDeviceId } from '../../src/teltonika/imei.ts';
import type { Figures } from '../figures.ts';
import type { Stand } from '../stand.ts';
import { serverMs } from './cost.ts';

const batchRows = 5_000;
const batchesEach = 10;
const deviceCounts = [5_000, 500] as const;
const dayMs = 86_400_000;
const first = Date.UTC(2026, 8, 1);
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * What the outbox's trigger adds to PostgreSQL's CPU for a row, through the service's own writer:
 * batches of 5,000 rows of as many devices, and of ten rows a device. With and without by turns.
 */
export async function triggerCosts(stand: Stand, rounds: number, figures: Figures): Promise<void> {
  const database = openDatabase(
    {
      url: await stand.freshTable(),
      tls: null,
      applicationName: 'processor:bench',
      size: 1,
      connectTimeoutMs: 5_000,
      statementTimeoutMs: 60_000,
      lockTimeoutMs: 10_000,
      deadlineMs: 70_000,
    },
    quiet,
  );
  const writer = createPositionWriter(database, {
    chunkIntervalMs: dayMs,
    maxChunksPerStatement: 48,
    mayBeCompressed: () => false,
  });
  let made = 0;
  const next = (devices: number) => batch(devices, made++);
  try {
    for (const devices of deviceCounts) {
      await writeBatches(writer, () => next(devices));
      for (let round = 0; round < rounds; round += 1) {
        const off = await costOf(database, writer, false, () => next(devices));
        const on = await costOf(database, writer, true, () => next(devices));
        figures.note(`domain_row_${devices}_devices_off_us`, off);
        figures.note(`domain_row_${devices}_devices_on_us`, on);
        figures.note(`domain_trigger_${devices}_devices_us`, on - off);
      }
    }
  } finally {
    await database.close(1_000);
  }
}

/** Microseconds of server CPU a row. */
async function costOf(
  database: Database,
  writer: PositionWriter,
  enabled: boolean,
  next: () => Position[],
): Promise<number> {
  const pid = await database.use(async (client) => {
    await applyDomainTrigger(client, { enabled, recomputeHorizonMs: 0 });
    await client.query('TRUNCATE positions.outbox');
    // What the rounds before left to write would be written during one of them.
    await client.query('CHECKPOINT');
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    return rows[0]?.pid ?? 0;
  });
  const ms = await serverMs(pid, () => writeBatches(writer, next));
  return (ms * 1000) / (batchesEach * batchRows);
}

async function writeBatches(writer: PositionWriter, next: () => Position[]): Promise<void> {
  for (let at = 0; at < batchesEach; at += 1) {
    const rows = next();
    const outcomes: Outcomes = rows.map(() => null);
    await writer.write(rows, outcomes);
    if (outcomes.some((outcome) => outcome !== 'inserted')) throw new Error('not all inserted');
  }
}

/** Rows of no other batch: consecutive ones of each device, as the writer sorts them. */
function batch(devices: number, number: number): Position[] {
  const each = batchRows / devices;
  return Array.from({ length: batchRows }, (_, at) => {
    const deviceId = String(350_000_000_000_000 + Math.floor(at / each));
    if (!isDeviceId(deviceId)) throw new RangeError(`no device id: ${deviceId}`);
    const speed = (at + number) % 120;
    return {
      deviceId,
      ts: first + (number * 10 + (at % each)) * 10_000,
      latitude: 54 + at / 10_000,
      longitude: 25 + number / 1_000,
      altitude: 100 + (at % 40),
      angle: (at * 3) % 360,
      speed,
      satellites: 7 + (at % 8),
      priority: 0,
      fix: true,
      eventIoId: 0,
      generationType: null,
      codec: '8E',
      attributes: `{"239":1,"240":1,"21":4,"200":0,"69":1,"181":9,"182":7,"66":${13_000 + speed},"67":4011,"68":0,"241":24601,"16":${number * 37},"24":${speed}}`,
      recordIndex: 0,
    };
  });
}
