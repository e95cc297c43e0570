import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { allGone, processTree, sendSignal } from '../../tools/servers/process-tree.ts';
import { eventually } from '../../tools/service.ts';
import { entry } from '../security/entries.ts';
import { freshDatabase, freshStream, redisUrl } from '../setup/database.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));

interface Line {
  readonly msg: string;
  readonly port?: number;
}

interface Started {
  readonly npm: ChildProcess;
  /** npm and all that it started. */
  readonly tree: readonly number[];
  readonly service: number;
  readonly messages: () => readonly string[];
  readonly stream: string;
  readonly databaseUrl: string;
}

/** The service by npm in a process group of its own, as a terminal or systemd starts it. */
async function startByNpm(): Promise<Started> {
  const database = await freshDatabase();
  onTestFinished(() => database.drop());
  const { key, group } = freshStream();
  const npm = spawn('npm', ['run', '-s', 'processor', '--', 'run'], {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      REDIS_URL: redisUrl(),
      POSTGRES_URL: database.url,
      TIMESCALEDB: 'optional',
      REDIS_TELEMETRY_STREAM: key,
      REDIS_CONSUMER_GROUP: group,
      HTTP_PORT: '0',
      LOG_LEVEL: 'debug',
    },
  });
  const lines: Line[] = [];
  let rest = '';
  npm.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const all = (rest + text).split('\n');
    rest = all.pop() ?? '';
    for (const line of all) lines.push(JSON.parse(line));
  });
  const messages = () => lines.map(({ msg }) => msg);
  await eventually('the service is ready', async () => {
    const served = lines.find(({ msg }) => msg === 'probes and metrics are served');
    if (served === undefined) return undefined;
    const ready = await fetch(`http://127.0.0.1:${served.port}/health/ready`).catch(() => null);
    return ready?.ok === true || undefined;
  });
  const tree = processTree(npm.pid ?? 0);
  onTestFinished(() => {
    sendSignal(tree, 'SIGKILL');
  });
  return {
    npm,
    tree,
    messages,
    stream: key,
    databaseUrl: database.url,
    service: tree.at(-1) ?? 0,
  };
}

/** Whom the signal is sent to; a negative number is a process group. */
const targets = {
  'the whole group': ({ npm }: Started) => -(npm.pid ?? 0),
  'npm alone': ({ npm }: Started) => npm.pid ?? 0,
  'the service alone': ({ service }: Started) => service,
} as const;

describe('the service that npm started', () => {
  test('is the only process below npm: the shell and the preparation are gone', async () => {
    const { tree } = await startByNpm();

    expect(tree).toHaveLength(2);
  });

  test.each([
    ['SIGINT', 'the whole group'],
    ['SIGTERM', 'the whole group'],
    ['SIGINT', 'npm alone'],
    ['SIGTERM', 'npm alone'],
    ['SIGTERM', 'the service alone'],
  ] as const)('drains after one %s to %s, and nothing is left', async (signal, target) => {
    const started = await startByNpm();

    process.kill(targets[target](started), signal);
    await once(started.npm, 'close');

    expect(started.messages()).toContain('stopped; nothing left in flight');
    expect(started.messages()).not.toContain('second signal: ending at once');
    expect(started.npm.exitCode).toBe(0);
    expect(await allGone(started.tree, 25_000)).toBe(true);
  });

  test('ends at once after a second Ctrl-C', async () => {
    const started = await startByNpm();
    await holdUpDrain(started);
    process.kill(targets['the whole group'](started), 'SIGINT');
    await eventually('it drains', () => started.messages().includes('stopping') || undefined);
    // Longer than the time in which a signal is taken for the first one, delivered twice.
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(started.messages()).not.toContain('second signal: ending at once');

    process.kill(targets['the whole group'](started), 'SIGINT');
    await once(started.npm, 'close');

    expect(started.messages()).toContain('second signal: ending at once');
    expect(started.messages()).not.toContain('stopped; nothing left in flight');
    expect(await allGone(started.tree, 25_000)).toBe(true);
  });
});

/** An entry in flight whose insert waits for a lock. */
async function holdUpDrain({ stream, databaseUrl, messages }: Started): Promise<void> {
  const blocker = new pg.Client(databaseUrl);
  await blocker.connect();
  onTestFinished(() => blocker.end());
  await blocker.query('BEGIN; LOCK TABLE public.positions IN ACCESS EXCLUSIVE MODE');
  const redis = new Redis(redisUrl());
  onTestFinished(() => redis.disconnect());
  await redis.xadd(stream, '*', ...entry(1));
  await eventually('the insert waits', async () => {
    const { rows } = await blocker.query<{ waiting: boolean }>(
      `SELECT count(*) > 0 AS waiting FROM pg_locks WHERE NOT granted
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    return rows[0]?.waiting || undefined;
  });
  expect(messages()).not.toContain('stopping');
}
