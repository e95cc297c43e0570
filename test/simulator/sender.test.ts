import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { SimulatedEntry } from '../../src/simulator/entry.ts';
import { createSender, type SenderOptions } from '../../src/simulator/sender.ts';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';

const stream = 'sent';
let server: LocalServer;
let admin: Redis;

beforeAll(async () => {
  // With everysec, Redis answers before it writes while the disk is slow: a kill then takes entries along.
  server = await startRedis({ durability: 'real', args: ['--appendfsync', 'always'] });
  await connectAdmin();
  // As deploy/redis/users.acl has the user ingestion: it adds, and does not read entries.
  await admin.call(
    ...(['ACL', 'SETUSER', 'ingestion', 'on', '>secret', 'resetkeys', '-@all', '+info'] as const),
    '+ping',
    `(%W~* +xadd)`,
    `(%R~* +exists +xlen +xinfo|groups)`,
  );
});
afterAll(async () => {
  admin.disconnect();
  await server.stop();
});

async function connectAdmin(): Promise<void> {
  admin = new Redis(server.url, { retryStrategy: () => 50, maxRetriesPerRequest: null });
  admin.on('error', () => {});
  await admin.ping();
}

function senderOf(changes: Partial<SenderOptions> & { readonly user?: string } = {}) {
  const sent: string[] = [];
  const { user, ...options } = changes;
  const url = new URL(server.url);
  if (user !== undefined) url.username = user;
  if (user !== undefined) url.password = 'secret';
  const sender = createSender({
    open: () =>
      new Redis(url.href, {
        protocol: 2,
        lazyConnect: true,
        enableOfflineQueue: false,
        disableClientInfo: true,
        connectTimeout: 1_500,
        commandTimeout: 1_500,
        autoResendUnfulfilledCommands: false,
        maxRetriesPerRequest: 0,
        retryStrategy: () => null,
      }).on('error', () => {}),
    stream,
    onSent: ({ fields }) => sent.push(String(fields[1])),
    signal: new AbortController().signal,
    ...options,
  });
  onTestFinished(() => sender.close());
  return { sender, sent };
}

function entries(count: number, prefix = ''): SimulatedEntry[] {
  return Array.from({ length: count }, (_, number) => ({
    fields: ['number', `${prefix}${number}`],
    records: [],
  }));
}

async function found(): Promise<string[]> {
  return (await admin.xrange(stream, '-', '+')).map(([, fields]) => fields[1] ?? '');
}

test('each entry is stored once across restarts, also for a user without the right to read the stream', async () => {
  await admin.del(stream);
  const { sender, sent } = senderOf({ user: 'ingestion' });
  const rounds = 4;
  for (let round = 0; round < rounds; round += 1) {
    const sending = sender.send(entries(8_000, `${round}-`));
    await sleep(20);
    await server.kill('SIGKILL');
    await server.restart();
    // The ACL was not in a file.
    admin.disconnect();
    await connectAdmin();
    await admin.call(
      ...(['ACL', 'SETUSER', 'ingestion', 'on', '>secret', 'resetkeys', '-@all', '+info'] as const),
      '+ping',
      `(%W~* +xadd)`,
      `(%R~* +exists +xlen +xinfo|groups)`,
    );
    await sending;
  }
  const there = await found();
  expect(there).toHaveLength(rounds * 8_000);
  expect(new Set(there).size).toBe(rounds * 8_000);
  expect(new Set(sent)).toEqual(new Set(there));
  expect(sent).toHaveLength(there.length);
});

test('two senders do not mistake entries of the other for their own', async () => {
  await admin.del(stream);
  const [first, second] = [senderOf(), senderOf()];
  await Promise.all([
    first.sender.send(entries(5_000, 'a')),
    second.sender.send(entries(5_000, 'b')),
  ]);
  const there = await found();
  expect(there).toHaveLength(10_000);
  expect(new Set(there)).toEqual(new Set([...first.sent, ...second.sent]));
});

test('the sender waits while Redis is full', async () => {
  await admin.del(stream);
  await admin.config('SET', 'maxmemory', '1');
  const { sender, sent } = senderOf();
  const sending = sender.send(entries(10));
  await sleep(200);
  expect(sent).toEqual([]);
  await admin.config('SET', 'maxmemory', '0');
  expect(await sending).toEqual([]);
  expect(await found()).toHaveLength(10);
});

test('a stream of another type is refused at once', async () => {
  await admin.set('text', 'not a stream');
  const { sender } = senderOf({ stream: 'text' });
  await expect(sender.send(entries(1))).rejects.toMatchObject({ code: 'add_failed' });
});

test('an interruption while Redis is away reports what was not sent', async () => {
  await admin.del(stream);
  await admin.config('SET', 'maxmemory', '1');
  const stopping = new AbortController();
  const { sender } = senderOf({ signal: stopping.signal });
  const sending = sender.send(entries(3));
  await sleep(100);
  stopping.abort();
  expect(await sending).toHaveLength(3);
  await admin.config('SET', 'maxmemory', '0');
});
