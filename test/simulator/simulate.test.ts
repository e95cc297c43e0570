import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { runSimulate, type SimulateOptions } from '../../src/cli/simulate.ts';
import { readLedger } from '../../src/simulator/ledger-file.ts';
import { freshStream, redisUrl } from '../setup/database.ts';

const never = new AbortController().signal;

function simulateOptions(changes: Partial<SimulateOptions> = {}): SimulateOptions {
  return {
    redisUrl: redisUrl(),
    redisTls: null,
    stream: freshStream().key,
    devices: 10,
    records: 500,
    durationSeconds: null,
    rate: null,
    seed: 9,
    form: 'mixed',
    packetRecords: 8,
    plain: false,
    ledgerFile: null,
    baseTime: Date.UTC(2026, 5, 1),
    maxBacklog: null,
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
  const io = { stdout: into('stdout'), stderr: into('stderr'), signal: never };
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

test('it says in one line what it sent, and its ledger file holds as much', async () => {
  const ledgerFile = join(await temporaryFolder(), 'ledger.ndjson');
  const { code, stdout } = await simulate(simulateOptions({ ledgerFile, json: true }));
  expect(code).toBe(0);
  const told: unknown = JSON.parse(stdout);
  const { totals } = await readLedger(ledgerFile);
  expect(told).toMatchObject({ entries: totals.entries, records: totals.sent, seed: 9 });
  expect(totals.sent).toBeGreaterThanOrEqual(500);
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
    [{ redisUrl: 'redis://127.0.0.1:1' }, 'ECONNREFUSED', 1],
    [{ ledgerFile: '/nowhere/ledger.ndjson' }, 'the ledger could not be written: ENOENT', 1],
  ] as const;
  for (const [changes, words, expected] of cases) {
    const { code, stderr } = await simulate(simulateOptions(changes));
    expect(code).toBe(expected);
    expect(stderr).toContain(words);
  }
});
