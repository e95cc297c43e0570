/** Dead letters at their worst: large ones among normal load, and such that cannot be written. */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { encodeTcp } from '../../src/simulator/avl-encoder.ts';
import type { TrackerRecord } from '../../src/simulator/record.ts';
import { eventually, type RunningService } from '../../tools/service.ts';
import { deadLetters, entryFields, imei, stream, useStack } from '../cli/stack.ts';
import { isFull, report, testLimitMs } from './mode.ts';

const stack = useStack();
const pendingCount = async () => Number((await stack.redis.xpending(stream, 'processor'))[0]);
const storedCount = async () =>
  Number(
    (await stack.query<{ rows: string }>('SELECT count(*) AS rows FROM public.positions'))[0]?.rows,
  );

/** 255 records of 256 bytes, 65 KB: what a device with a wrong clock can send in one packet. */
function worstFrame(number: number): Buffer {
  const record = (index: number): TrackerRecord => ({
    ts: Date.UTC(2000, 0, 1) + number * 1000 + index,
    priority: 0,
    latitude: 54.7,
    longitude: 25.3,
    altitude: 1,
    angle: 2,
    satellites: 9,
    speed: 3,
    eventIoId: 0,
    generationType: null,
    cell: null,
    io: {
      one: [],
      two: [],
      four: [],
      eight: [],
      sixteen: null,
      variable: [[10_000, Buffer.alloc(214, index)]],
    },
  });
  const records = Array.from({ length: 255 }, (_, index) => ({
    record: record(index),
    fault: null,
  }));
  return encodeTcp('8E', records);
}

/** Asks the liveness probe until it is stopped. @returns the longest time it took to answer */
function watchLive(service: RunningService): { stop(): Promise<number> } {
  let stopped = false;
  let longestMs = 0;
  const watching = (async () => {
    while (!stopped) {
      const since = performance.now();
      expect(await service.health('live')).toBe(200);
      longestMs = Math.max(longestMs, performance.now() - since);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  return {
    async stop() {
      stopped = true;
      await watching;
      return longestMs;
    },
  };
}

async function peakMb({ process: child }: RunningService): Promise<number> {
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

/** The group has read everything; what is left pending is this much. */
async function untilRead(pending: number): Promise<void> {
  await eventually(
    `everything is read, ${pending} pending`,
    async () => {
      const [group] = (await stack.redis.xinfo('GROUPS', stream)) as unknown[][];
      const field = (name: string) => group?.[group.indexOf(name) + 1];
      return field('lag') === 0 && field('pending') === pending ? true : undefined;
    },
    testLimitMs / 3,
  );
}

test(
  '50 packets of 255 rejected records each among normal load: memory, probes and bytes stay bounded',
  async () => {
    const service = stack.service('one');
    await service.untilReady();
    const live = watchLive(service);
    let sentBytes = 0;
    for (let number = 0; number < 50; number += 1) {
      const frame = worstFrame(number);
      sentBytes += frame.length;
      const adding = stack.redis.pipeline();
      for (let index = 0; index < 40; index += 1) {
        adding.xadd(stream, '*', ...entryFields(number * 40 + index));
      }
      adding.xadd(stream, '*', 'device_id', imei(number), 'frame', frame);
      await adding.exec();
    }
    await untilRead(0);
    const liveMs = Math.round(await live.stop());

    const letters = await stack.redis.xrangeBuffer(deadLetters, '-', '+');
    const bytes = letters
      .flatMap(([, fields]) => fields)
      .reduce((sum, part) => sum + part.length, 0);
    const rssMb = Math.round(await peakMb(service));
    const numbers = { rssMb, liveMs, sentBytes, deadLetterBytes: bytes };
    report('50 packets of 255 rejected records', numbers);
    expect(letters).toHaveLength(50);
    expect(await service.metric('processor_dead_letters_total{reason="ts_out_of_range"}')).toBe(
      50 * 255,
    );
    expect(await storedCount()).toBe(50 * 40);
    expect(bytes).toBeLessThan(3 * sentBytes);
    expect(rssMb).toBeLessThan(450);
    if (isFull) expect(liveMs).toBeLessThan(1000);

    // Every record is accounted for by its index.
    const verified = await stack.processor('verify', '--from', '2h', '--json');
    expect(JSON.parse(verified.stdout)).toMatchObject({
      stored: 2000,
      dead_letter: 50 * 255,
      missing: 0,
      letter_gone: 0,
    });
  },
  testLimitMs,
);

describe('one dead letter that cannot be written', () => {
  const moved = `${stream}:control:moved`;
  test.each([
    {
      because: 'Redis is out of memory',
      state: 'unavailable: OOM',
      harm: () => stack.redis.config('SET', 'maxmemory', '1'),
      repair: () => stack.redis.config('SET', 'maxmemory', '0'),
    },
    {
      because: 'a control key has another type',
      state: 'configuration: WRONGTYPE',
      harm: () => stack.redis.set(moved, 'x'),
      repair: () => stack.redis.del(moved),
    },
  ])(
    'because $because delays nothing else, and is written once the cause is gone',
    async ({ state, harm, repair }) => {
      const service = stack.service('one');
      await service.untilReady();
      await stack.processor('pause', '--reason', 'the entries must be there first', '--yes');
      await eventually('it is paused', async () =>
        (await service.metric('processor_consumption_paused')) === 1 ? true : undefined,
      );
      await new Promise((resolve) => setTimeout(resolve, 500));
      for (let index = 0; index < 300; index += 1) {
        const change = index === 100 ? { latitude: 95 } : {};
        await stack.redis.xadd(stream, '*', ...entryFields(index, change));
      }
      await harm();
      await stack.redis.del(`${stream}:control:paused`);

      await untilRead(1);
      expect(await storedCount()).toBe(299);
      await eventually('readiness reports it', async () => {
        const ready = await fetch(`${await service.url()}/health/ready`);
        const { checks } = (await ready.json()) as { checks: Record<string, string> };
        return ready.status === 503 && checks.dead_letters === state ? true : undefined;
      });
      expect(await service.health('live')).toBe(200);
      expect(await stack.redis.xlen(deadLetters)).toBe(0);

      await repair();
      await eventually('nothing is pending', async () =>
        (await pendingCount()) === 0 ? true : undefined,
      );
      await service.untilReady();
      expect(await stack.redis.xlen(deadLetters)).toBe(1);
      expect(await service.end('SIGTERM')).toBe(0);
    },
    testLimitMs,
  );
});

test(
  'a group that is deleted while blocked dead letters fill the in-flight budget is recreated',
  async () => {
    const env = { IN_FLIGHT_RECORDS: '100', BATCH_ROWS: '100', READ_COUNT: '50' };
    const service = stack.service('one', env);
    await service.untilReady();
    await stack.redis.set(`${stream}:control:moved`, 'x');
    for (let index = 0; index < 150; index += 1) {
      await stack.redis.xadd(stream, '*', ...entryFields(index, { latitude: 95 }));
    }
    const held = await eventually('the budget is full', async () => {
      const pending = await pendingCount();
      return pending >= 100 ? pending : undefined;
    });

    await stack.redis.flushall();
    await stack.redis.xadd(stream, '*', ...entryFields(200, {}));

    await eventually('the new entry is stored', async () =>
      (await storedCount()) === 1 ? true : undefined,
    );
    await untilRead(0);
    const recreated = 'processor_stream_events_total{event="group_recreated"}';
    expect(await service.metric(recreated)).toBe(1);
    expect(await stack.redis.xlen(deadLetters)).toBe(held);
    expect(await service.end('SIGTERM')).toBe(0);
  },
  testLimitMs,
);
