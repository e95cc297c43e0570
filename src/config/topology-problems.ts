import { show } from './read.ts';
import { topologyKindOf } from './redis-url.ts';
import type { ConfigProblem, Values } from './types.ts';
import { variables } from './variables.ts';

type Key = keyof typeof variables;

function problemOf(key: Key, got: string, expected: string, example?: string): ConfigProblem {
  const { name, example: usual } = variables[key];
  return { variable: name, got, expected, example: `${name}=${example ?? usual}` };
}

/** Settings that the kind of REDIS_URL would ignore. */
export function topologyProblems({
  redisUrl,
  redisSentinelUser,
  redisSentinelPassword,
  redisNatMap,
}: Pick<
  Values,
  'redisUrl' | 'redisSentinelUser' | 'redisSentinelPassword' | 'redisNatMap'
>): readonly ConfigProblem[] {
  if (redisUrl === null) return [];
  const kind = topologyKindOf(redisUrl);
  const problems: ConfigProblem[] = [];
  const sentinelOnly = `nothing, or redis+sentinel:// in ${variables.redisUrl.name}`;
  if (redisSentinelPassword !== null && kind !== 'sentinel') {
    problems.push(
      problemOf('redisSentinelPassword', 'a password, without sentinels', sentinelOnly),
    );
  }
  if (redisSentinelUser !== null && kind !== 'sentinel') {
    problems.push(problemOf('redisSentinelUser', 'a user, without sentinels', sentinelOnly));
  }
  if (redisSentinelUser !== null && kind === 'sentinel' && redisSentinelPassword === null) {
    const { name } = variables.redisSentinelPassword;
    problems.push(problemOf('redisSentinelUser', `a user, without ${name}`, `${name} with it`));
  }
  if (redisNatMap !== null && kind === 'single') {
    const expected = `nothing, or redis+sentinel:// or redis+cluster:// in ${variables.redisUrl.name}`;
    problems.push(problemOf('redisNatMap', 'addresses, for a single server', expected));
  }
  return problems;
}

/** On a cluster all keys of a stream are in one slot, which the text in braces decides. */
export function hashTagProblems({
  redisUrl,
  streamKey,
  deadLetterKey,
  streamShards,
}: Pick<
  Values,
  'redisUrl' | 'streamKey' | 'deadLetterKey' | 'streamShards'
>): readonly ConfigProblem[] {
  // Shards have hash tags of their own.
  if (redisUrl === null || streamKey === null || streamShards !== null) return [];
  if (topologyKindOf(redisUrl) !== 'cluster') return [];
  const tag = hashTagOf(streamKey);
  if (tag === null) {
    const got = `${show(streamKey)} on a cluster, where its dead letters and switches would lie in other slots`;
    const example = `{${streamKey}}`;
    return [problemOf('streamKey', got, 'a name with a hash tag, or STREAM_SHARDS', example)];
  }
  if (deadLetterKey === null || hashTagOf(deadLetterKey) === tag) return [];
  const got = `${show(deadLetterKey)} on a cluster, in another slot than the stream`;
  const expected = `nothing, or a name with the hash tag {${tag}}`;
  return [problemOf('deadLetterKey', got, expected, `${streamKey}:dlq`)];
}

/** The part of a key that decides its slot; null: the whole key does. */
function hashTagOf(key: string): string | null {
  const open = key.indexOf('{');
  const close = open < 0 ? -1 : key.indexOf('}', open + 1);
  return close > open + 1 ? key.slice(open + 1, close) : null;
}
