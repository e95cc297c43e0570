import { describe, expect, test } from 'vitest';
import { runConsumersList } from '../../src/cli/consumers.ts';
import { runDlqList } from '../../src/cli/dlq.ts';
import { runDlqPurge } from '../../src/cli/dlq-purge.ts';
import { runDlqReplay } from '../../src/cli/dlq-replay.ts';
import type { CliIo } from '../../src/cli/io.ts';
import { runPause } from '../../src/cli/pause.ts';
import { runPendingList } from '../../src/cli/pending.ts';
import { runPendingClaim } from '../../src/cli/pending-claim.ts';
import { inProcess, yes } from './in-process.ts';

/** No server is there: a wrong shard ends a command before it asks one. */
const nowhere = { REDIS_URL: 'redis://127.0.0.1:1', POSTGRES_URL: 'postgres://127.0.0.1:1/none' };

type Command = (io: CliIo) => Promise<number>;

const run = (command: Command, env: Readonly<Record<string, string>> = {}) =>
  inProcess({ ...nowhere, STREAM_SHARDS: '4', ...env }, command);

describe('a shard that a command cannot work on', () => {
  const pause = { ...yes, reason: 'planned work' };
  test.each([
    ['beyond the last one', { shard: 4 }, {}, /shard 4: expected one of 0-3 \(STREAM_SHARDS\)/],
    ['not read', { shard: 2 }, { READ_SHARDS: '0-1,3' }, /one of 0-1,3 \(READ_SHARDS\)/],
  ])('is wrong usage: %s', async (_, flags, env, message) => {
    const { code, stderr } = await run((io) => runPause(io, { ...pause, ...flags }), env);
    expect([code, stderr]).toEqual([2, expect.stringMatching(message)]);
  });

  test('is wrong usage without STREAM_SHARDS', async () => {
    const { code, stderr } = await inProcess(nowhere, (io) => runPause(io, { ...pause, shard: 0 }));
    expect([code, stderr]).toEqual([2, expect.stringContaining('STREAM_SHARDS is not set')]);
  });
});

test('without any shard that answers, a command prints no result as text and names all shards once', async () => {
  const text = { ...yes, json: false };
  const all = { ...text, limit: 1000 };
  const claim = { consumer: 'gone', minIdle: 0, force: true, timeout: 1 };
  const replay = { fix: [], rate: 100, timeout: 1 };
  const commands: readonly Command[] = [
    (io) => runPendingList(io, { ...all, minIdle: 0 }),
    (io) => runConsumersList(io, text),
    (io) => runDlqList(io, all),
    (io) => runDlqPurge(io, { ...all, all: true }),
    (io) => runDlqReplay(io, { ...all, ...replay }),
    (io) => runPendingClaim(io, { ...text, ...claim }),
    (io) => runPause(io, { ...text, reason: 'planned work' }),
  ];
  for (const command of commands) {
    const { code, stdout, stderr } = await run(command);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(
      /^processor: shards 0-3 did not answer[^\n]* redis ECONNREFUSED[^\n]*\n$/,
    );
  }
});
