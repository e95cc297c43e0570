import { DeviceStates } from '../src/core/device-state.ts';
import { encodePositions } from '../src/db/position-columns.ts';
import { createAcknowledger } from '../src/stream/acknowledger.ts';
import { createConsumer } from '../src/stream/consumer.ts';
import { singleServer } from '../src/stream/primary-finder.ts';
import { createConnection, openRedis } from '../src/stream/redis.ts';
import { readEntry } from '../src/teltonika/entry.ts';
import { interpretContent } from '../src/teltonika/interpret.ts';
import { rangeProblem } from '../src/teltonika/validate.ts';
import type { Figures } from './figures.ts';
import type { Load } from './rows.ts';
import { type Stand, streamKey } from './stand.ts';

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const day = 86_400_000;

/** What each stage costs a record in CPU of this process, stage by stage and alone. */
export async function stageCosts(
  stand: Stand,
  name: string,
  load: Load,
  nowMs: number,
  figures: Figures,
): Promise<void> {
  const micros = new Map<string, number>();
  const cost = async <Result>(stage: string, work: () => Promise<Result> | Result) => {
    const before = process.cpuUsage();
    const result = await work();
    const { user, system } = process.cpuUsage(before);
    micros.set(stage, (micros.get(stage) ?? 0) + user + system);
    return result;
  };
  await stand.fill(load);
  const open = () =>
    openRedis(
      {
        primaries: singleServer(stand.redisUrl),
        key: streamKey,
        connectionName: 'bench',
        connectTimeoutMs: 5000,
        commandTimeoutMs: 30_000,
        onReconnect: () => undefined,
      },
      silent,
    );
  const connection = createConnection(open);
  const group = { key: streamKey, group: 'stages', consumer: 'bench' };
  const consumer = createConsumer(
    open,
    connection.ready,
    {
      ...group,
      blockMs: 100,
      slackMs: 5000,
      claimThresholdMs: 3_600_000,
      claimIntervalMs: 3_600_000,
      consumerIdleMs: 3_600_000,
      now: Date.now,
    },
    {
      groupRecreated() {},
      lostPending() {},
      lostUndelivered() {},
      streamWentBack() {},
      lossUncertain() {},
      claimed() {},
      claimRun() {},
      consumersRemoved() {},
      connected() {},
    },
  );
  await consumer.prepare();

  const maxEntryBytes = 1e9;
  const window = { nowMs, tsMaxPastMs: 3650 * day, tsMaxFutureMs: day };
  const options = { ...window, maxRecords: 255, io16: false };
  const states = new DeviceStates({
    capacity: 100_000,
    rehydrateHorizonMs: day,
    negativeTtlMs: day,
    now: Date.now,
    rehydrate: () => Promise.resolve(new Map()),
    onLookup() {},
    onRehydrated() {},
    onEvicted() {},
  });
  const letters = { deadLetterKey: 'bench:dlq', deadLetterMaxEntries: 1000, instance: 'bench' };
  const acknowledger = createAcknowledger(
    connection.ready,
    { ...group, ...letters, maxFieldBytes: 1024, deadLetterStreamMaxBytes: 1_000_000 },
    Date.now,
  );
  // Piece by piece, as the service does it: held all at once the rows would measure the collector.
  for (let done = 0; done < load.entries.length; ) {
    const entries = await cost('read', () => consumer.read(1000));
    done += entries.length;
    const contents = await cost('entry', () =>
      entries.flatMap((entry) => {
        const reading = readEntry(entry, maxEntryBytes);
        return reading.kind === 'content' ? [reading.content] : [];
      }),
    );
    const rows = await cost('decode_and_validate', () =>
      contents.flatMap((content) => {
        const found = interpretContent(content, options);
        return found.kind === 'records' ? found.positions : [];
      }),
    );
    await cost('validate_alone', () => {
      for (const row of rows) rangeProblem(row, window);
    });
    await cost('state', async () => {
      await states.warm(rows);
      states.apply(rows);
    });
    await cost('encode', () => encodePositions(rows));
    await cost('acknowledge', () => acknowledger.acknowledge(entries));
  }
  for (const [stage, total] of micros) {
    figures.note(`stage_${name}_${stage}_us`, total / load.rows.length);
  }
  consumer.close();
  connection.close();
}
