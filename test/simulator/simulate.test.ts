import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { crc32 } from 'node:zlib';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { runSimulate } from '../../src/cli/simulate.ts';
import type { SimulateOptions } from '../../src/cli/simulate-options.ts';
import { readLedger } from '../../src/simulator/ledger-file.ts';
import { controlKeys } from '../../src/stream/control-keys.ts';
import { shardKey } from '../../src/stream/shards.ts';
import { freshStream, redisUrl } from '../setup/database.ts';

const never = new AbortController().signal;

function serversAt(url: string): SimulateOptions['redis'] {
  return { topology: { kind: 'single', url }, natMap: [], tls: null };
}

function simulateOptions(changes: Partial<SimulateOptions> = {}): SimulateOptions {
  return {
    redis: serversAt(redisUrl()),
    stream: freshStream().key,
    shards: null,
    devices: 10,
    records: 500,
    durationSeconds: null,
    rate: null,
    seed: 9,
    form: 'mixed',
    packetRecords: 8,
    plain: false,
    ledgerFile: null,
    geofencesFile: null,
    baseTime: Date.UTC(2026, 5, 1),
    maxBacklog: null,
    live: false,
    yes: true,
    by: 'anna',
    json: false,
    ...changes,
  };
}

async function simulate(options: SimulateOptions) {
  const texts = { stdout: '', stderr: '' };
  const into = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(chunk, _encoding, done) {
        texts[name] += String(chunk);
        done();
      },
    });
  const stdin = new PassThrough();
  const io = { env: {}, stdin, stdout: into('stdout'), stderr: into('stderr'), signal: never };
  const code = await runSimulate(options, io);
  return { code, ...texts };
}

async function streamOf(key: string): Promise<unknown> {
  const redis = new Redis(redisUrl());
  try {
    return (await redis.xrangeBuffer(key, '-', '+')).map(([, fields]) => fields);
  } finally {
    redis.disconnect();
  }
}

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'processor-simulate-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

test('the command prints one line about what it sent, and its ledger file holds as much', async () => {
  const ledgerFile = join(await temporaryFolder(), 'ledger.ndjson');
  const { code, stdout } = await simulate(simulateOptions({ ledgerFile, json: true }));
  expect(code).toBe(0);
  const reported: unknown = JSON.parse(stdout);
  const { totals } = await readLedger(ledgerFile);
  expect(reported).toMatchObject({ entries: totals.entries, records: totals.sent, seed: 9 });
  expect(totals.sent).toBeGreaterThanOrEqual(500);
});

test('a fleet on circuits writes its geofences before it sends, and its ledger expects crossings', async () => {
  const folder = await temporaryFolder();
  const [ledgerFile, geofencesFile] = ['ledger', 'geofences'].map((name) => join(folder, name));
  const files = { ledgerFile: ledgerFile ?? '', geofencesFile: geofencesFile ?? '' };
  const options = simulateOptions({ ...files, records: 5_000 });
  expect((await simulate(options)).code).toBe(0);
  const written: unknown = JSON.parse(await readFile(files.geofencesFile, 'utf8'));
  const { crossings } = await readLedger(files.ledgerFile);
  const ids = [...(crossings?.geofences ?? [])].map((id) => expect.objectContaining({ id }));
  expect(written).toMatchObject({ geofences: ids });
  expect(written).toHaveProperty('devices.length', 9);
  expect(crossings?.crossings.length).toBeGreaterThan(200);
  const again = await simulate({ ...options, ledgerFile: null });
  expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('EEXIST') });
});

test('the same seed and base time fill two streams with the same entries', async () => {
  const [first, second] = [simulateOptions(), simulateOptions()];
  const { stdout } = await simulate(first);
  await simulate(second);
  expect(stdout).toMatch(/^entries=\d+ records=\d+ .* seed=9 base_time=1780272000000\n$/);
  expect(await streamOf(first.stream)).toEqual(await streamOf(second.stream));
});

test('wrong options end with 2, what fails with 1, and both say what to change', async () => {
  const cases = [
    [{ records: null }, '--records or --duration', 2],
    [{ rate: 0 }, '--rate must be above 0', 2],
    [{ devices: 0 }, 'devices: 1 to 1000000', 2],
    [{ redis: serversAt('redis://127.0.0.1:1') }, 'ECONNREFUSED', 1],
    [{ ledgerFile: '/nowhere/ledger.ndjson' }, 'the ledger could not be written: ENOENT', 1],
  ] as const;
  for (const [changes, words, expected] of cases) {
    const { code, stderr } = await simulate(simulateOptions(changes));
    expect(code).toBe(expected);
    expect(stderr).toContain(words);
  }
});

async function withRedis(work: (redis: Redis) => Promise<void>): Promise<void> {
  const redis = new Redis(redisUrl());
  try {
    await work(redis);
  } finally {
    redis.disconnect();
  }
}

test('nothing is sent without consent, and consent leaves an audit line', async () => {
  const options = simulateOptions({ records: 5 });
  const { code, stderr } = await simulate({ ...options, yes: false });
  expect(code).toBe(2);
  expect(stderr).toContain('not done; add --yes');
  await withRedis(async (redis) => {
    expect(await redis.exists(options.stream)).toBe(0);
    expect((await simulate(options)).code).toBe(0);
    const audit = await redis.xrange(`${options.stream}:control:audit`, '-', '+');
    expect(audit.map(([, fields]) => fields)).toEqual([
      ['by', 'anna', 'command', 'simulate', 'detail', expect.stringContaining('records=5')],
    ]);
  });
});

test('a stream with live consumers is refused, unless --live says otherwise', async () => {
  const options = simulateOptions({ records: 5 });
  await withRedis(async (redis) => {
    await redis.xgroup('CREATE', options.stream, 'somebody', '0', 'MKSTREAM');
    // A group that nobody reads from is no consumer.
    expect((await simulate(options)).code).toBe(0);
    await redis.xreadgroup('GROUP', 'somebody', 'one', 'COUNT', 1, 'STREAMS', options.stream, '>');
    const before = await redis.xlen(options.stream);

    const { code, stderr } = await simulate(options);

    expect(code).toBe(2);
    expect(stderr).toContain('has live consumers');
    expect(await redis.xlen(options.stream)).toBe(before);
    expect((await simulate({ ...options, live: true })).code).toBe(0);
  });
});

test('a file that is there, or a link, is no ledger: neither is touched, and nothing is sent', async () => {
  const folder = await temporaryFolder();
  const [file, link, dangling] = ['file', 'link', 'dangling'].map((name) => join(folder, name));
  await writeFile(file ?? '', 'mine');
  await symlink(file ?? '', link ?? '');
  await symlink(join(folder, 'nothing'), dangling ?? '');
  for (const ledgerFile of [file, link, dangling]) {
    const options = simulateOptions({ ledgerFile: ledgerFile ?? null });
    const { code, stderr } = await simulate(options);
    expect(code).toBe(1);
    expect(stderr).toMatch(/the ledger could not be written: (EEXIST|ELOOP)/);
    expect(await streamOf(options.stream)).toEqual([]);
  }
  expect(await readFile(file ?? '', 'utf8')).toBe('mine');
});

test('with shards every entry is in the shard of its device, and the ledger holds all of them', async () => {
  const { key } = freshStream();
  const ledgerFile = join(await temporaryFolder(), 'ledger.ndjson');
  const options = simulateOptions({ stream: key, shards: 4, plain: true, devices: 40, ledgerFile });
  expect(await simulate(options)).toMatchObject({ code: 0, stderr: '' });

  const redis = new Redis(redisUrl());
  onTestFinished(() => redis.disconnect());
  let entries = 0;
  for (let shard = 0; shard < 4; shard += 1) {
    const found = await redis.xrange(shardKey(key, shard), '-', '+');
    entries += found.length;
    for (const [, fields] of found) {
      const device = fields[fields.indexOf('device_id') + 1] ?? '';
      expect(crc32(device) % 4).toBe(shard);
    }
    expect(await redis.xlen(controlKeys(shardKey(key, shard)).audit)).toBe(1);
  }
  expect(await redis.exists(key)).toBe(0);
  const { totals } = await readLedger(ledgerFile);
  expect(totals.entries).toBe(entries);
});

test('shards that cannot be are refused before anything is sent', async () => {
  const tagged = simulateOptions({ stream: '{fleet}', shards: 4 });
  expect(await simulate(tagged)).toMatchObject({ code: 2, stderr: expect.stringContaining('{') });
  expect(await simulate(simulateOptions({ shards: 0 }))).toMatchObject({ code: 2 });
});
