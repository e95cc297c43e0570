import { describe, expect, test } from 'vitest';
import { type ConfigProblem, formatProblems, loadConfig } from '../../src/config/load.ts';

type Env = Readonly<Record<string, string>>;

function load(env: Env) {
  const required = { POSTGRES_URL: 'postgres://db.example/telemetry' };
  const readFile = () => {
    throw new Error('no file is read here');
  };
  return loadConfig({ ...required, ...env }, { hostname: 'worker-7', readFile });
}

function configOf(env: Env) {
  const result = load(env);
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config;
}

function problemsOf(env: Env): readonly ConfigProblem[] {
  const result = load(env);
  return result.ok ? [] : result.problems;
}

const namesOf = (env: Env) =>
  configOf(env).streams.map(({ shard, key, deadLetterKey }) => [shard, key, deadLetterKey]);

describe('without STREAM_SHARDS', () => {
  test('one stream is read under its plain name', () => {
    expect(configOf({}).shards).toBeNull();
    expect(namesOf({ REDIS_TELEMETRY_STREAM: 'fleet' })).toEqual([[null, 'fleet', 'fleet:dlq']]);
    expect(namesOf({ DEAD_LETTER_STREAM: 'dead' })).toEqual([
      [null, 'telemetry:teltonika', 'dead'],
    ]);
  });

  test('a name may hold a hash tag', () => {
    expect(namesOf({ REDIS_TELEMETRY_STREAM: '{fleet}' })).toEqual([
      [null, '{fleet}', '{fleet}:dlq'],
    ]);
  });
});

describe('with STREAM_SHARDS', () => {
  test('every shard is read by default, each with its own dead letters', () => {
    expect(configOf({ STREAM_SHARDS: '2' }).shards).toEqual({
      name: 'telemetry:teltonika',
      count: 2,
      read: [0, 1],
    });
    expect(namesOf({ STREAM_SHARDS: '2' })).toEqual([
      [0, 'telemetry:teltonika:{0}', 'telemetry:teltonika:{0}:dlq'],
      [1, 'telemetry:teltonika:{1}', 'telemetry:teltonika:{1}:dlq'],
    ]);
  });

  test('READ_SHARDS selects numbers and ranges, in ascending order and each once', () => {
    const read = (text: string) =>
      configOf({ STREAM_SHARDS: '16', READ_SHARDS: text }).shards?.read;

    expect(read('8,0-3')).toEqual([0, 1, 2, 3, 8]);
    expect(read('2-2,1-3,2')).toEqual([1, 2, 3]);
    expect(read('15')).toEqual([15]);
  });

  test('every stream has the settings of the group', () => {
    const { streams } = configOf({
      STREAM_SHARDS: '3',
      REDIS_CONSUMER_GROUP: 'g',
      READ_COUNT: '7',
    });

    expect(streams.map(({ group, consumer, readCount }) => [group, consumer, readCount])).toEqual([
      ['g', 'worker-7', 7],
      ['g', 'worker-7', 7],
      ['g', 'worker-7', 7],
    ]);
  });
});

describe('shards that contradict each other', () => {
  test.each<[Env, string, string]>([
    [{ READ_SHARDS: '0' }, 'READ_SHARDS', 'shards to read, without STREAM_SHARDS'],
    [{ STREAM_SHARDS: '4', READ_SHARDS: '3-5' }, 'READ_SHARDS', '4, with STREAM_SHARDS=4'],
    [
      { STREAM_SHARDS: '4', DEAD_LETTER_STREAM: 'dead' },
      'DEAD_LETTER_STREAM',
      '"dead", with STREAM_SHARDS',
    ],
    [
      { STREAM_SHARDS: '4', REDIS_TELEMETRY_STREAM: '{fleet}' },
      'REDIS_TELEMETRY_STREAM',
      '"{fleet}", with STREAM_SHARDS',
    ],
  ])('%o is refused', (env, variable, got) => {
    expect(problemsOf(env)).toEqual([expect.objectContaining({ variable, got })]);
  });

  test.each(['', ' ', '3-1', '1-', '-1', '1,,2', '0 - 3', '0-1024', '1;2', 'all', '0x1'])(
    'READ_SHARDS=%o selects nothing that it does not name',
    (text) => {
      const problems = problemsOf({ STREAM_SHARDS: '1024', READ_SHARDS: text });
      // An empty variable counts as unset.
      expect(problems.map(({ variable }) => variable)).toEqual(text === '' ? [] : ['READ_SHARDS']);
    },
  );

  test.each(['0', '1025', '-1', '1.5', 'many'])('STREAM_SHARDS=%s is refused', (text) => {
    expect(problemsOf({ STREAM_SHARDS: text })).toMatchObject([{ variable: 'STREAM_SHARDS' }]);
  });
});
