import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ChangeFlags } from '../../src/cli/change.ts';
import { runConsumersList, runConsumersRemove } from '../../src/cli/consumers.ts';
import { runForget } from '../../src/cli/device-forget.ts';
import { runRehydrate } from '../../src/cli/device-rehydrate.ts';
import { runDeviceShow } from '../../src/cli/device-show.ts';
import { runDlqList } from '../../src/cli/dlq.ts';
import { runDlqExport } from '../../src/cli/dlq-export.ts';
import { runDlqPurge } from '../../src/cli/dlq-purge.ts';
import { runDlqReplay } from '../../src/cli/dlq-replay.ts';
import { runDlqStats } from '../../src/cli/dlq-stats.ts';
import { runDoctor } from '../../src/cli/doctor.ts';
import type { CliIo } from '../../src/cli/io.ts';
import { runMigrateUp } from '../../src/cli/migrate.ts';
import { runPause } from '../../src/cli/pause.ts';
import { runPendingList } from '../../src/cli/pending.ts';
import { runPendingClaim } from '../../src/cli/pending-claim.ts';
import { runResume } from '../../src/cli/resume.ts';
import { runStatus } from '../../src/cli/status.ts';
import { runVerify } from '../../src/cli/verify.ts';
import { slotOf } from '../../src/stream/hash-slot.ts';
import { type Cluster, startCluster } from '../../tools/servers/cluster.ts';
import type { LocalServer } from '../../tools/servers/local-server.ts';
import { type RunningService, startService } from '../../tools/service.ts';
import { type FreshDatabase, freshDatabase } from '../setup/database.ts';
import { dryRun, inProcess, noResend, yes } from './in-process.ts';
import { auditOf, deadLettersOf, fillShard, idAt, keyOf, startMs } from './shard-world.ts';
import { imei } from './stack.ts';

/** Its node has no other shard; the node of 1 and 2 has both. */
const away = 3;
const others = [0, 1, 2];

let cluster: Cluster;
let database: FreshDatabase;
let owners: LocalServer[];

let service: RunningService;

/** The tests build on one another: the node dies once, and comes back at the end of the changes. */
beforeAll(async () => {
  cluster = await startCluster({ nodes: 3, replicas: 0 });
  owners = await Promise.all(
    [...others, away].map((shard) => cluster.ownerOf(slotOf(keyOf(shard)))),
  );
  database = await freshDatabase();
  await run((io) => runMigrateUp(io, yes));
  const fill = { entries: 3, delivered: 2, acknowledged: 0, deadLetters: 2 };
  for (const shard of [...others, away]) {
    await onNode(shard, async (redis) => {
      await fillShard(redis, shard, fill);
      await redis.xgroup('CREATECONSUMER', keyOf(shard), 'processor', 'idle');
    });
  }
  service = startService({ ...env(), CONSUMER_NAME: 'one' });
  await service.untilReady();
  await nodeOf(away).kill('SIGKILL');
});
afterAll(async () => {
  await service.end('SIGKILL');
  await database.drop();
  await cluster.stop();
});

function nodeOf(shard: number): LocalServer {
  const owner = owners[shard];
  if (owner === undefined) throw new RangeError(`no owner of shard ${shard}`);
  return owner;
}

async function onNode<Result>(
  shard: number,
  work: (redis: Redis) => Promise<Result>,
): Promise<Result> {
  const redis = new Redis(nodeOf(shard).url);
  try {
    return await work(redis);
  } finally {
    redis.disconnect();
  }
}

/** The service claims nothing by itself: `pending claim` must make it. */
const env = () => ({
  REDIS_URL: cluster.url,
  POSTGRES_URL: database.url,
  STREAM_SHARDS: '4',
  READ_BLOCK_MS: '100',
  CLAIM_THRESHOLD_MS: '900000',
  CLAIM_INTERVAL_MS: '300',
  REDIS_CONNECT_TIMEOUT_MS: '1000',
  REDIS_COMMAND_TIMEOUT_MS: '1000',
});

const run = (command: (io: CliIo) => Promise<number>) => inProcess(env(), command);

const all = { json: true, limit: 1000 };
const claim = { consumer: 'gone', minIdle: 0, force: true, timeout: 30 };
const replay = { fix: [], rate: 100, timeout: 30 };
const status = { json: true, watch: 1, frames: 1, metricsUrl: [], maxLag: 60 };
const verify = {
  ...noResend,
  json: true,
  from: startMs,
  to: startMs + 60_000,
  limit: 1000,
  metricsUrl: [],
};

const reads: readonly (readonly [name: string, run: (io: CliIo) => Promise<number>])[] = [
  ['status', (io) => runStatus(io, status)],
  ['pending list', (io) => runPendingList(io, { ...all, minIdle: 0 })],
  ['consumers list', (io) => runConsumersList(io, all)],
  ['dlq list', (io) => runDlqList(io, all)],
  ['dlq stats', (io) => runDlqStats(io, all)],
  ['verify', (io) => runVerify(io, { ...noResend, ...verify })],
  ['device show', (io) => runDeviceShow(io, imei(1), { json: true, model: 'FMB' })],
];

const changes: readonly (readonly [
  name: string,
  run: (io: CliIo, flags: ChangeFlags) => Promise<number>,
])[] = [
  ['pending claim', (io, flags) => runPendingClaim(io, { ...flags, ...claim })],
  ['dlq replay', (io, flags) => runDlqReplay(io, { ...flags, ...all, ...replay })],
  ['consumers remove', (io, flags) => runConsumersRemove(io, 'idle', flags)],
  ['device rehydrate', (io, flags) => runRehydrate(io, imei(1), flags)],
  ['pause', (io, flags) => runPause(io, { ...flags, reason: 'planned work' })],
  ['resume', (io, flags) => runResume(io, flags)],
];

/** Each shard has two dead letters and two pending entries; one dead letter is replayed before. */
const results: Readonly<Record<string, object>> = {
  'pending claim': { consumer: 'gone', claimed: 6, left: 0 },
  'dlq replay': { stored: 5, rejected_again: 0, unconfirmed: 0, not_replayable: 0 },
  'consumers remove': { removed: false },
  'device rehydrate': { requested: false },
  pause: { paused: false, changed: true },
  resume: { resumed: true, pause: { by: 'anna', reason: 'planned work' } },
};

describe('with the node of one shard away', () => {
  test('a command that reads shows the others, names the missing one and its node, and fails', async () => {
    const { port } = nodeOf(away);
    for (const [name, command] of reads) {
      const { code, stdout, stderr } = await run(command);
      const result = JSON.parse(stdout);
      expect(code, name).toBe(1);
      expect(result.missing_shards, name).toMatchObject([{ shard: away }]);
      expect(result.missing_shards[0].problem, name).toContain(`127.0.0.1:${port}`);
      if (name !== 'status')
        expect(stderr, name).toMatch(/^processor: shard 3 did not answer: redis/);
    }
    const exported = await run((io) => runDlqExport(io, { ...all, to: '-' }));
    expect(exported).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^processor: shard 3/),
    });
    expect(exported.stdout.trim().split('\n')).toHaveLength(6);
    const { stdout } = await run((io) => runDoctor(io, { json: true, strict: false }));
    expect(JSON.parse(stdout).checks).toContainEqual({
      name: 'redis',
      state: 'failure',
      message: expect.stringMatching(/^shard 3: redis/),
      shards: [away],
    });
  });

  test('a dry run counts the others and fails; a device is not forgotten in part', async () => {
    const purge = await run((io) => runDlqPurge(io, { ...dryRun, ...all, all: true, json: false }));
    expect(purge.code).toBe(1);
    expect(purge.stdout).toBe('would delete 6 dead letters for good in shards 0-2 (all)\n');
    const one = await run((io) =>
      runDlqReplay(io, { ...yes, ...all, ...replay, id: `1:${idAt(0)}` }),
    );
    expect(one).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(one.stdout)).toMatchObject({ stored: 1, shards: [{ shard: 1, stored: 1 }] });

    const forget = await run((io) => runForget(io, imei(1), yes));
    expect(forget).toMatchObject({ code: 1, stdout: '' });
    expect(forget.stderr).toContain('all shards must answer; nothing was done');
  });

  test.each(changes)(
    '%s is done on the others, says so for each, and fails',
    async (name, command) => {
      const { code, stdout, stderr } = await run((io) => command(io, yes));
      const result = JSON.parse(stdout);

      expect(code).toBe(1);
      expect(stderr).toMatch(/^processor: shard 3 did not answer, and nothing was changed there/);
      expect(result).toMatchObject(results[name] ?? {});
      expect(result.missing_shards).toMatchObject([{ shard: away, begun: false }]);
      expect(result.shards.map(({ shard }: { shard: number }) => shard)).toEqual(others);
    },
  );

  test('each shard that was changed has the audit lines', async () => {
    for (const shard of others) {
      const audit = await onNode(shard, (redis) => auditOf(redis, shard));
      const expected = [...(shard === 1 ? ['dlq replay'] : []), ...changes.map(([name]) => name)];
      expect(audit.filter((command) => command !== 'migrate up')).toEqual(expected);
      expect(await onNode(shard, (redis) => redis.xlen(deadLettersOf(shard)))).toBe(0);
    }
  });

  test('the missing shard is as it was when its node is back, and the commands finish there', async () => {
    const held = async (redis: Redis) => ({
      audit: await auditOf(redis, away),
      isPaused: await redis.exists(`${keyOf(away)}:control:paused`),
      deadLetters: await redis.xlen(deadLettersOf(away)),
    });
    await nodeOf(away).restart();
    await cluster.untilWhole();
    expect(await onNode(away, held)).toEqual({ audit: [], isPaused: 0, deadLetters: 2 });

    const claimed = await run((io) => runPendingClaim(io, { ...yes, ...claim }));
    expect(claimed).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(claimed.stdout)).toMatchObject({ claimed: 2, left: 0, missing_shards: [] });
    const replayed = await run((io) => runDlqReplay(io, { ...yes, ...all, ...replay }));
    expect(replayed).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(replayed.stdout)).toMatchObject({ stored: 2, shards: [{ shard: away }] });

    const verified = await run((io) => runVerify(io, verify));
    expect(verified).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(verified.stdout)).toMatchObject({ entries: 12, stored: 12 });
  });
});

test('a node that hangs is missing too, after the time limit and no longer', async () => {
  await nodeOf(away).kill('SIGSTOP');
  const paused = await run((io) => runPause(io, { ...yes, reason: 'planned work' }));
  await nodeOf(away).kill('SIGCONT');

  expect(paused.code).toBe(1);
  expect(JSON.parse(paused.stdout)).toMatchObject({
    paused: false,
    shards: [{ shard: 0 }, { shard: 1 }, { shard: 2 }],
    missing_shards: [{ shard: away, begun: false }],
  });
});
