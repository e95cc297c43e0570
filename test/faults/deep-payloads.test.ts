import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { deadLetterKey, isFull, openScenario, seed, stream, testLimitMs } from './scenario.ts';

const entries = 500;
const payloadBytes = 120_000;
/** The promise is one second; a machine that other work keeps busy gets more in the short form. */
const slowestAnswerMs = isFull ? 1_000 : 60_000;

/** Nothing but opening brackets, and a wide object that is refused only once it is read whole. */
function payloads(): readonly [deep: string, wide: string] {
  const wide = Array.from({ length: 8_000 }, (_, id) => `"${id}":${id}`).join(',');
  return ['['.repeat(payloadBytes), `{"attributes":{${wide}}}`];
}

test(
  `${entries} deep or wide payloads are dead letters, and the live probe answers throughout`,
  async () => {
    const scenario = await openScenario({ seed, records: 500 });
    await scenario.feeding;
    const [deep, wide] = payloads();
    const pipeline = scenario.client.pipeline();
    for (let index = 0; index < entries; index += 1) {
      const payload = index % 2 === 0 ? deep : wide;
      const fields = { device_id: '350000000000001', ts: '2026-11-01T00:00:00.000Z', codec: '8' };
      pipeline.xadd(stream, '*', ...Object.entries({ ...fields, payload }).flat());
    }
    await pipeline.exec();

    const service = scenario.start('one');
    await service.url();
    let isSettled = false;
    const settled = scenario.untilSettled().finally(() => {
      isSettled = true;
    });
    let slowestMs = 0;
    while (!isSettled) {
      const since = performance.now();
      expect(await service.health('live')).toBe(200);
      slowestMs = Math.max(slowestMs, performance.now() - since);
      await sleep(10);
    }
    await settled;
    expect(slowestMs).toBeLessThan(slowestAnswerMs);
    const counted = (reason: string) =>
      service.metric(`processor_dead_letters_total{reason="${reason}"}`);
    expect(await counted('json_too_deep')).toBe(entries / 2);
    // The fleet beside them has damaged payloads too.
    expect(await counted('payload_shape')).toBeGreaterThanOrEqual(entries / 2);
    expect(await scenario.client.xlen(deadLetterKey)).toBeGreaterThanOrEqual(entries);
    await service.end('SIGTERM');
  },
  testLimitMs,
);
