import { expect, test } from 'vitest';
import { runCommand } from './command.ts';

/** No server is there: wrong usage ends a command before it asks one. */
const env = { REDIS_URL: 'redis://127.0.0.1:1', POSTGRES_URL: 'postgres://127.0.0.1:1/none' };

test.each([
  ['nosuch'],
  [''],
  ['--nosuch'],
  ['run', '--nosuch'],
  ['decode', '--nosuch'],
  ['simulate', '--devices', 'many'],
  ['simulate', '--form', 'x'],
  ['simulate'],
  ['simulate', '--records', '1', '--devices', '0'],
  ['check-ledger'],
  ['config', 'surplus'],
  ['doctor', '--nosuch'],
  ['pause', '--yes'],
  ['resume', '--nosuch'],
  ['device'],
  ['device', 'show'],
  ['device', 'rehydrate', '--yes'],
  ['status', '--watch', '0'],
  ['status', '--max-lag', 'long'],
  ['status', '--shard', '0-3'],
  ['pending'],
  ['pending', 'list', '--limit', '0'],
  ['pending', 'claim', '--yes'],
  ['pending', 'nosuch'],
  ['consumers', 'remove', '--yes'],
  ['dlq'],
  ['dlq', 'show'],
  ['dlq', 'show', '123'],
  ['dlq', 'show', 'x:123-0'],
  ['dlq', 'list', '--reason', 'nosuch'],
  ['dlq', 'stats', '--since', 'yesterday'],
  ['dlq', 'export'],
  ['dlq', 'purge', '--limit', '-1'],
  ['dlq', 'replay', '--rate', 'x'],
  ['verify', '--from', 'yesterday'],
  ['migrate', 'down'],
  ['migrate', 'up', '--nosuch'],
  ['retention', '--nosuch'],
  ['domain'],
  ['domain', 'nosuch'],
  ['domain', 'status', '--nosuch'],
  ['domain', 'contract', 'surplus'],
  ['domain', 'show'],
  ['domain', 'verify', '--from', 'yesterday'],
  ['domain', 'verify', '--device', '123'],
  ['domain', 'recompute', '--yes'],
  ['domain', 'recompute', '--all', '--geofence'],
  ['domain', 'pause', '--yes'],
  ['domain', 'resume', '--nosuch'],
  ['domain', 'retry', '--yes'],
  ['domain', 'retry', '--device', '123'],
  ['domain', 'retry', '--device', '356307042441013', '--all'],
])('wrong usage ends with 2 and says what is wrong: processor %s %s %s', async (...words) => {
  const { code, stdout, stderr } = await runCommand(
    env,
    words.filter((word) => word !== ''),
  );
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(/error: |Usage: |processor simulate: /);
});

test.each([['--help'], ['--version'], ['status', '--help'], ['help', 'dlq']])(
  'help that was asked for ends with 0: processor %s %s',
  async (...words) => {
    const { code, stdout, stderr } = await runCommand(env, words);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).not.toBe('');
  },
);

test('a command that cannot reach Redis does not claim to retry', async () => {
  const { code, stderr } = await runCommand(env, ['dlq', 'stats']);
  expect(code).toBe(1);
  expect(stderr).toContain('redis ECONNREFUSED: not available at the moment');
  expect(stderr).not.toContain('retrying');
});
