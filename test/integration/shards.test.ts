import { crc32 } from 'node:zlib';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { shardKey } from '../../src/stream/shards.ts';
import { eventually, type RunningService } from '../../tools/service.ts';
import { stream, useStack } from '../cli/stack.ts';

const shards = [0, 1, 2, 3];
const sharded = { STREAM_SHARDS: '4' };
/** A write that waits for a lock soon counts as an outage. */
const shortTimes = {
  CLAIM_THRESHOLD_MS: '1500',
  DRAIN_BUDGET_MS: '1400',
  INSERT_DEADLINE_MS: '1300',
  STATEMENT_TIMEOUT_MS: '1200',
  LOCK_TIMEOUT_MS: '500',
};

describe('shards of the stream on one Redis', () => {
  const stack = useStack();

  /** Adds one payload entry of the device to a shard, by default its own. */
  async function add(device: string, second: number, shard = crc32(device) % 4, id = '*') {
    const ts = new Date(Date.now() - 60_000 + second * 1000).toISOString();
    const payload = {
      device_id: device,
      timestamp: ts,
      latitude: 54.7,
      longitude: 25.3,
      altitude: 1,
      angle: 90,
      speed: 50,
      satellites: 9,
      priority: 0,
      attributes: {},
    };
    const fields = [
      'device_id',
      device,
      'ts',
      ts,
      'codec',
      '8',
      'payload',
      JSON.stringify(payload),
    ];
    await stack.redis.xadd(shardKey(stream, shard), id, ...fields);
  }

  async function untilStored(rows: number): Promise<void> {
    await eventually(`${rows} rows are stored`, async () => {
      const [found] = await stack.query<{ rows: number }>(
        'SELECT count(*)::integer AS rows FROM public.positions',
      );
      return found?.rows === rows ? true : undefined;
    });
  }

  async function pendingOf(shard: number): Promise<unknown> {
    const [pending] = await stack.redis.xpending(shardKey(stream, shard), 'processor');
    return pending;
  }

  async function untilAcknowledged(of: readonly number[]): Promise<void> {
    await eventually('nothing is pending', async () => {
      const pending = await Promise.all(of.map(pendingOf));
      return pending.every((one) => one === 0) ? true : undefined;
    });
  }

  const settled = (service: RunningService, shard: number) =>
    service.metric(`processor_shard_records_settled_total{shard="${shard}"}`);

  test('are read by one instance: every record once, also with the same id in two of them', async () => {
    const service = stack.service('one', sharded);
    await service.untilReady();
    // The rows wait for the lock, so that all entries are in flight together.
    const locking = new pg.Client(stack.env().POSTGRES_URL);
    await locking.connect();
    await locking.query('BEGIN; LOCK TABLE public.positions IN ACCESS EXCLUSIVE MODE');
    const sameId = `${Date.now() + 5}-0`;
    await add(device(0, 0), 0, 0, sameId);
    await add(device(1, 0), 0, 1, sameId);
    await add(device(2, 0), 0, 3);
    for (let index = 0; index < 100; index += 1) await add(device(index % 4, index), 1);
    await stack.redis.xadd(shardKey(stream, 3), '*', 'nonsense', 'x');
    await eventually('all are in flight', async () =>
      (await service.metric('processor_inflight_records')) >= 103 ? true : undefined,
    );
    await locking.query('ROLLBACK');
    await locking.end();
    await untilStored(103);
    await untilAcknowledged(shards);

    expect(await stack.redis.xlen(`${shardKey(stream, 3)}:dlq`)).toBe(1);
    const metric = await eventually('the samples are exported', async () => {
      const found = await service.metrics();
      return found('processor_inflight_records') === 0 ? found : undefined;
    });
    expect(metric('processor_conservation_residual_records')).toBe(0);
    expect(metric('processor_wrong_shard_total')).toBe(1);
    const counts = await Promise.all(shards.map((shard) => settled(service, shard)));
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(104);
    expect(service.logs.filter(({ msg }) => msg.includes('wrong shard'))).toMatchObject([
      { level: 'warn', shard: 3, expected: 2, records: 1 },
    ]);
    expect(service.logs.find(({ msg }) => msg === 'record dead-lettered')).toMatchObject({
      shard: 3,
    });
    expect(await service.end('SIGTERM')).toBe(0);
    await untilAcknowledged(shards);
    const keys = (await stack.redis.keys('*')).filter(
      (key) => !/^telemetry:teltonika:\{[0-3]\}/.test(key),
    );
    expect(keys).toEqual([]);
  });

  test('store both entries of one id, also when an outage of the database holds one of them', async () => {
    const service = stack.service('one', { ...sharded, ...shortTimes });
    await service.untilReady();
    const locking = new pg.Client(stack.env().POSTGRES_URL);
    await locking.connect();
    await locking.query('BEGIN; LOCK TABLE public.positions IN ACCESS EXCLUSIVE MODE');
    const id = `${Date.now()}-0`;
    await add(device(0, 0), 0, 0, id);
    await eventually('the database is failing', async () => {
      const response = await fetch(`${await service.url()}/health/ready`);
      return (await response.text()).includes('"database":"unavailable') ? true : undefined;
    });
    await add(device(1, 0), 0, 1, id);
    expect(await pendingOf(0)).toBe(1);
    await locking.query('ROLLBACK');
    await locking.end();

    await untilStored(2);
    await untilAcknowledged([0, 1]);
    expect(await service.metric('processor_conservation_residual_records')).toBe(0);
    expect(await service.end('SIGTERM')).toBe(0);
  });

  test('are read although one cannot be: at the start and later, readiness names it', async () => {
    const broken = shardKey(stream, 2);
    await stack.redis.set(broken, 'not a stream');
    const service = stack.service('one', sharded);
    await eventually('the others are read', () =>
      service.logs.find(({ msg }) => msg === 'reading begins'),
    );
    for (const shard of [0, 1, 3]) await add(device(shard, 1), 1);
    await untilStored(3);
    const ready = async () => {
      const response = await fetch(`${await service.url()}/health/ready`);
      return JSON.stringify(await response.json());
    };
    expect(await ready()).toContain('configuration: WRONGTYPE (shards 2)');
    expect(service.logs.find(({ msg }) => msg === 'reading begins')).toMatchObject({
      stream,
      shards: 4,
      waiting_shards: '2',
    });

    await stack.redis.del(broken);
    await service.untilReady();
    await add(device(2, 1), 1);
    await untilStored(4);
    // An entry that is stored but not acknowledged would be in flight until the drain's budget ends.
    await untilAcknowledged([2]);

    // Broken again, while it runs: the other shards keep settling.
    await stack.redis.rename(broken, 'elsewhere');
    await stack.redis.set(broken, 'not a stream');
    await eventually('readiness names it', async () =>
      (await ready()).includes('(shards 2)') ? true : undefined,
    );
    const before = await settled(service, 0);
    for (let second = 2; second < 12; second += 1) await add(device(0, 1), second);
    await untilStored(14);
    await eventually('they are settled', async () =>
      (await settled(service, 0)) === before + 10 ? true : undefined,
    );
    await eventually('its gauge shows it', async () =>
      (await service.metric('processor_shard_up{shard="2"}')) === 0 ? true : undefined,
    );
    expect(await service.metric('processor_shard_up{shard="0"}')).toBe(1);
    expect(await service.end('SIGTERM')).toBe(0);
  });

  test('are paused one by one, and those of READ_SHARDS only are read', async () => {
    await stack.redis.set(
      `${shardKey(stream, 1)}:control:paused`,
      '{"by":"anna","reason":"x","at":"now"}',
    );
    const service = stack.service('one', { ...sharded, READ_SHARDS: '0-1' });
    await eventually('the others are read', () =>
      service.logs.find(({ msg }) => msg === 'reading begins'),
    );
    for (const shard of [0, 1, 2]) await add(device(shard, 1), 1);
    await untilStored(1);
    expect(await service.metric('processor_consumption_paused')).toBe(1);
    await eventually('the pause is exported', async () =>
      (await service.metric('processor_shard_paused{shard="1"}')) === 1 ? true : undefined,
    );

    await stack.redis.del(`${shardKey(stream, 1)}:control:paused`);
    await untilStored(2);
    await untilAcknowledged([0, 1]);
    expect(await stack.redis.xinfo('GROUPS', shardKey(stream, 2))).toEqual([]);
  });

  test('leave no trace without STREAM_SHARDS: keys, metrics and log lines are those of one stream', async () => {
    const service = stack.service('one');
    await service.untilReady();
    await stack.redis.xadd(stream, '*', 'nonsense', 'x');
    await eventually('the dead letter is written', async () =>
      (await stack.redis.xlen(`${stream}:dlq`)) === 1 ? true : undefined,
    );

    expect((await stack.redis.keys('*')).toSorted()).toEqual(
      [
        '',
        ':control:counter',
        ':control:dead_letters',
        ':control:holders',
        ':control:moved',
        ':dlq',
      ].map((end) => `${stream}${end}`),
    );
    const response = await fetch(`${await service.url()}/metrics`);
    expect(await response.text()).not.toContain('shard');
    expect(await service.end('SIGTERM')).toBe(0);
    expect(service.logs.filter((line) => JSON.stringify(line).includes('shard'))).toEqual([]);
  });
});

/** A device of the shard, one of many. */
function device(shard: number, number: number): string {
  for (let serial = 350_000_000_000_000 + number * 1000; ; serial += 1) {
    if (crc32(String(serial)) % 4 === shard) return String(serial);
  }
}
