import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import type { SimulatedEntry } from '../../src/simulator/entry.ts';
import { createRandom } from '../../src/simulator/random.ts';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';
import { seed, times } from './mode.ts';
import { createSender } from './sender.ts';

const stream = 'sent';

test('each entry is in the stream exactly once, however often Redis fails while it is sent', async () => {
  const redis = await startRedis({ durability: 'real' });
  onTestFinished(() => redis.stop());
  const noted: string[] = [];
  const signal = new AbortController().signal;
  const onSent = ({ fields }: SimulatedEntry) => noted.push(String(fields[1]));
  const sender = createSender({ url: redis.url, stream, onSent, signal });
  onTestFinished(() => sender.close());

  let harmed = false;
  const harming = harm(redis).finally(() => {
    harmed = true;
  });
  const made: string[] = [];
  while (!harmed) {
    const batch = Array.from({ length: 256 }, (_, place) => String(made.length + place));
    made.push(...batch);
    await sender.send(batch.map((number) => ({ fields: ['number', number], records: [] })));
  }
  await harming;

  const client = new Redis(redis.url);
  onTestFinished(() => client.disconnect());
  const found = (await client.xrange(stream, '-', '+')).map(([, fields]) => fields[1]);
  expect(found).toHaveLength(made.length);
  expect(new Set(found)).toEqual(new Set(made));
  expect(noted).toHaveLength(made.length);
  expect(new Set(noted)).toEqual(new Set(made));
});

/** Killed, standing still for longer than an answer is waited for, and with all clients cut off. */
async function harm(redis: LocalServer): Promise<void> {
  const random = createRandom(seed, 2);
  for (let round = 0; round < times(2, 5); round += 1) {
    await sleep(random.between(50, 300));
    await redis.kill('SIGKILL');
    await redis.restart();
    await sleep(random.between(50, 300));
    const client = new Redis(redis.url);
    await client.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
    client.disconnect();
    await sleep(random.between(50, 300));
    await redis.kill('SIGSTOP');
    await sleep(2_000);
    await redis.kill('SIGCONT');
  }
}
