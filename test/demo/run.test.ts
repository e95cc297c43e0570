import { type ChildProcess, spawn } from 'node:child_process';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { expect, onTestFinished, test } from 'vitest';
import { type DemoIo, runDemo } from '../../demo/run.ts';
import { askPostgres } from '../../tools/servers/ask.ts';
import { allGone, processTree } from '../../tools/servers/process-tree.ts';
import { freshDatabase, freshStream, redisUrl } from '../setup/database.ts';

const main = fileURLToPath(new URL('../../demo/main.ts', import.meta.url));
const account =
  /^sent=(\d+) inserted=(\d+) duplicate=(\d+) conflict=(\d+) dead_letter=(\d+) message=(\d+) missing=(\d+)$/;

interface Place {
  readonly databaseUrl: string;
  readonly stream: string;
  readonly env: Readonly<Record<string, string>>;
}

async function freshPlace(): Promise<Place> {
  const database = await freshDatabase();
  onTestFinished(() => database.drop());
  const { key, group } = freshStream();
  const env = {
    REDIS_URL: redisUrl(),
    POSTGRES_URL: database.url,
    REDIS_TELEMETRY_STREAM: key,
    REDIS_CONSUMER_GROUP: group,
  };
  return { databaseUrl: database.url, stream: key, env };
}

async function demo({ env }: Place, seed: number, beforeCheck?: DemoIo['beforeCheck']) {
  const texts = { stdout: '', stderr: '' };
  const into = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(chunk, _encoding, done) {
        texts[name] += String(chunk);
        done();
      },
    });
  const code = await runDemo(
    { seconds: 1, rate: 2_000, burst: 3_000, devices: 20, seed },
    {
      env,
      stdout: into('stdout'),
      stderr: into('stderr'),
      terminal: null,
      signal: new AbortController().signal,
      ...(beforeCheck === undefined ? {} : { beforeCheck }),
    },
  );
  const lastLine = texts.stdout.trimEnd().split('\n').at(-1) ?? '';
  const counts = account.exec(lastLine)?.slice(1).map(Number) ?? [];
  return { code, lastLine, counts, ...texts };
}

test('everything that is sent arrives, and the last line says so', async () => {
  const place = await freshPlace();
  const { code, stderr, counts } = await demo(place, 1);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [sent = 0, ...outcomes] = counts;
  expect(outcomes.reduce((sum, count) => sum + count, 0)).toBe(sent);
  expect(outcomes.at(-1)).toBe(0);
  expect(sent).toBeGreaterThan(3_000);
  const stored = await askPostgres<{ rows: number }>(
    place.databaseUrl,
    'SELECT count(*)::int4 AS rows FROM public.positions',
  );
  expect(stored?.rows).toBe(counts[1]);
});

test('every crossing of the fleet is found, and a line says how many', async () => {
  const { code, stdout } = await demo(await freshPlace(), 5);
  const [, expected, found] =
    /^crossings expected=(\d+) found=(\d+) missing=0 extra=0$/m.exec(stdout) ?? [];
  expect({ code, found }).toEqual({ code: 0, found: expected });
  expect(Number(found)).toBeGreaterThan(50);
});

test('one timing record removed before the check fails the demo, by its geofence', async () => {
  const place = await freshPlace();
  let removed: { geofence: string } | undefined;
  const { code, stdout, stderr } = await demo(place, 6, async ({ databaseUrl }) => {
    // A device leaves in the middle of its drive: such a crossing is never one that may be missing.
    removed = await askPostgres(
      databaseUrl,
      `UPDATE public.timing_records SET superseded_at = now() WHERE id IN (
         SELECT id FROM public.timing_records
          WHERE method = 'interpolated' AND direction = 'exit' AND superseded_at IS NULL
          ORDER BY at LIMIT 1) RETURNING geofence`,
    );
  });
  expect(code).toBe(1);
  expect(stdout).toMatch(/^crossings expected=\d+ found=\d+ missing=1 extra=0$/m);
  expect(stderr).toContain(`missing: exit of geofence ${removed?.geofence} by `);
  const log = /the service's log: (\S+)/.exec(stderr)?.[1];
  if (log !== undefined) await rm(dirname(log), { recursive: true });
});

test('collections of Directus that exist are left alone, and the domain stays off', async () => {
  const place = await freshPlace();
  await askPostgres(place.databaseUrl, 'CREATE TABLE public.devices (imei text)');
  const { code, stdout } = await demo(place, 8);
  expect(code).toBe(0);
  expect(stdout).toContain('geofences none: the database has collections of its own');
  expect(stdout).not.toContain('crossings expected');
  const found = await askPostgres<{ rows: number; triggers: number }>(
    place.databaseUrl,
    `SELECT (SELECT count(*)::int4 FROM public.devices) AS rows,
            (SELECT count(*)::int4 FROM pg_trigger WHERE tgname = 'note_outbox') AS triggers`,
  );
  expect(found).toEqual({ rows: 0, triggers: 0 });
});

test('a stream that exists is left alone', async () => {
  const place = await freshPlace();
  const redis = new Redis(redisUrl());
  onTestFinished(() => redis.disconnect());
  await redis.xadd(place.stream, '1-1', 'somebody', 'else');
  const { code, stdout } = await demo(place, 2);
  expect(code).toBe(0);
  expect(stdout).toContain(`stream ${place.stream}:demo:2\n`);
  expect(await redis.xrange(place.stream, '-', '+')).toEqual([['1-1', ['somebody', 'else']]]);
});

test('one row removed before the check fails the demo, by the name of the record', async () => {
  const place = await freshPlace();
  let removed: { device_id: string; ts: string } | undefined;
  const { code, lastLine, counts, stderr } = await demo(place, 3, async ({ databaseUrl }) => {
    removed = await askPostgres(
      databaseUrl,
      `DELETE FROM public.positions WHERE (device_id, ts) IN (SELECT device_id, ts FROM public.positions LIMIT 1)
       RETURNING device_id, to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS ts`,
    );
  });
  expect(code).toBe(1);
  expect(lastLine).toMatch(account);
  expect(counts.at(-1)).toBeGreaterThanOrEqual(1);
  expect(stderr).toContain(`missing: no row for ${removed?.device_id} at ${removed?.ts}`);
  const log = /the service's log: (\S+)/.exec(stderr)?.[1];
  expect(log).toBeDefined();
  if (log !== undefined) await rm(dirname(log), { recursive: true });
});

test('an invalid configuration is reported and fails', async () => {
  const place = await freshPlace();
  const { code, stderr } = await demo({ ...place, env: { ...place.env, WRITERS: 'many' } }, 4);
  expect(code).toBe(1);
  expect(stderr).toContain('WRITERS: got "many"');
});

test.each(['SIGINT', 'SIGKILL'] as const)(
  'after %s no process and no file is left',
  { timeout: 240_000 },
  async (signal) => {
    const place = await freshPlace();
    const { REDIS_URL: _given, ...env } = place.env;
    const folder = await mkdtemp(join(tmpdir(), 'processor-demo-test-'));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    // The servers' user must be able to enter it.
    await chmod(folder, 0o755);
    const child = spawn(process.execPath, [main, '--seconds', '60', '--rate', '500'], {
      env: { PATH: process.env.PATH, TMPDIR: folder, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await untilSending(child);
    const tree = processTree(child.pid ?? 0);
    expect(tree.length).toBeGreaterThanOrEqual(4);
    const ended = new Promise((resolve) => {
      child.once('exit', (code, by) => resolve(code ?? by));
    });
    child.kill(signal);
    expect(await ended).toBe(signal === 'SIGINT' ? 130 : signal);
    expect(await allGone(tree, 20_000)).toBe(true);
    expect(await readdir(folder)).toEqual([]);
  },
);

async function untilSending(child: ChildProcess): Promise<void> {
  let text = '';
  child.stdout?.on('data', (chunk) => {
    text += String(chunk);
  });
  while (!/sending: .* sent [1-9]/.test(text)) {
    if (child.exitCode !== null) throw new Error(`the demo ended: ${text}`);
    await sleep(50);
  }
}
