import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runDlqList } from '../../src/cli/dlq.ts';
import { runDlqStats } from '../../src/cli/dlq-stats.ts';
import { runMigrateUp } from '../../src/cli/migrate.ts';
import { runPendingList } from '../../src/cli/pending.ts';
import { runStatus } from '../../src/cli/status.ts';
import { runVerify } from '../../src/cli/verify.ts';
import { noResend, yes } from './in-process.ts';
import { type Command, shards, useShards } from './shard-stack.ts';
import { fillShard, idAt, keyOf, startMs } from './shard-world.ts';

const { stack, run, resultOf, fillSome } = useShards();

/** The results over all shards, and over each one. */
async function resultsOf(command: Command<{ shard?: number }>) {
  const flags = [{}, ...shards.map((shard) => ({ shard }))];
  const results = flags.map((one) => resultOf((io) => command(io, one)));
  const [whole, ...parts] = await Promise.all(results);
  return { whole, parts };
}

const all = { json: true, limit: 1000 };
const range = { from: startMs, to: startMs + 60_000 };
const verify = { ...noResend, json: true, ...range, limit: 1000, metricsUrl: [] };
const status = { json: true, watch: null, frames: null, metricsUrl: [], maxLag: 60 };

interface Listed {
  readonly shard: number;
  readonly id: string;
}

/** Ascending with 1, descending with -1; shards in their order where the ids are equal. */
const byId = (sign: number) => (a: Listed, b: Listed) => {
  const ms = ({ id }: Listed) => Number(id.split(':')[1]?.split('-')[0]);
  return sign * (ms(a) - ms(b)) || a.shard - b.shard;
};

const withoutIdle = (entries: object[]) => entries.map((entry) => ({ ...entry, idle_ms: 0 }));

const sum = (results: readonly Record<string, unknown>[], name: string) =>
  results.reduce((total, result) => total + Number(result[name]), 0);

/** Numbers of shards, small enough for a test and different enough to tell them apart. */
const fills = fc.array(
  fc.record({
    entries: fc.nat(5),
    delivered: fc.nat(5),
    acknowledged: fc.nat(3),
    deadLetters: fc.nat(4),
  }),
  { minLength: 4, maxLength: 4 },
);

describe('a command over all shards is the sum of the commands over each', () => {
  test('for lists, statistics and the verification of any fill', async () => {
    await run((io) => runMigrateUp(io, yes));
    const property = fc.asyncProperty(fills, async (filled) => {
      await stack.redis.flushall();
      for (const [shard, fill] of filled.entries()) await fillShard(stack.redis, shard, fill);

      const pending = await resultsOf((io, flags) =>
        runPendingList(io, { ...all, minIdle: 0, ...flags }),
      );
      const entries = pending.parts.flatMap((part) => part.entries).sort(byId(1));
      expect(withoutIdle(pending.whole.entries)).toEqual(withoutIdle(entries));

      const list = await resultsOf((io, flags) => runDlqList(io, { ...all, ...flags }));
      const letters = list.parts.flatMap((part) => part.letters).sort(byId(-1));
      expect(list.whole.letters).toEqual(letters);

      const stats = await resultsOf((io, flags) => runDlqStats(io, { ...all, ...flags }));
      for (const name of ['letters', 'records', 'length', 'max_entries', 'max_bytes']) {
        expect(stats.whole[name], name).toBe(sum(stats.parts, name));
      }
      expect(stats.whole.shards).toEqual(stats.parts.flatMap((part) => part.shards));

      const verified = await resultsOf((io, flags) => runVerify(io, { ...verify, ...flags }));
      for (const name of ['entries', 'records', 'pending', 'undelivered', 'missing']) {
        expect(verified.whole[name], name).toBe(sum(verified.parts, name));
      }
      expect(verified.whole.shards).toEqual(verified.parts.flatMap((part) => part.shards));
      expect(verified.whole.findings).toEqual(verified.parts.flatMap((part) => part.findings));
    });
    await fc.assert(property, { numRuns: 2 });
  });

  test('for status, with a table of the shards and the findings of each', async () => {
    await run((io) => runMigrateUp(io, yes));
    await fillSome();
    await stack.redis.hset(`${keyOf(1)}:control:suspects`, idAt(0), '2');
    // Pending entries that do not move would make each status wait.
    for (const shard of shards) await stack.redis.xack(keyOf(shard), 'processor', idAt(0), idAt(1));
    const { whole, parts } = await resultsOf((io, flags) => runStatus(io, { ...status, ...flags }));

    const streams = parts.map((part) => part.stream);
    for (const name of ['length', 'lag', 'pending', 'dead_letters', 'suspects']) {
      expect(whole.stream[name], name).toBe(sum(streams, name));
    }
    expect(whole.shards.map((one: { length: number }) => one.length)).toEqual([3, 4, 0, 1]);
    expect(whole.stream.consumers).toMatchObject([{ name: 'gone', pending: 0 }]);
    expect(whole.attention).toEqual([
      expect.stringMatching(/^shards 0-1,3: the oldest unread entry waits/),
      expect.stringMatching(/^shard 1: 1 entry is processed in isolation/),
    ]);
  });
});
