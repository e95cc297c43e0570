import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { temporaryPrefix } from '../../tools/servers/system-user.ts';
import { eventually } from '../../tools/service.ts';
import { readCompose } from '../project/compose/read.ts';
import {
  composeSentinels,
  composeServers,
  startComposeSentinels,
} from '../project/compose/sentinels.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(repository, path), 'utf8');

test('the sentinels of compose.ha.yaml move the primary with the rights they have', async () => {
  const secrets = await mkdtemp(temporaryPrefix('secrets'));
  onTestFinished(() => rm(secrets, { recursive: true }));
  execFileSync(join(repository, 'deploy/make-secrets'), [secrets]);
  const file = readCompose([read('compose.yaml'), read('compose.ha.yaml')], {});
  const stack = await startComposeSentinels(file, secrets);
  onTestFinished(() => stack.close());
  const password = (name: string) => readFileSync(join(secrets, `redis_${name}_password`), 'utf8');
  const client = ['--pass', password('sentinel'), '--no-auth-warning'];
  const failover = ['--user', 'failover', '--pass', password('failover'), '--no-auth-warning'];
  const operator = [
    '--user',
    'processor-operator',
    '--pass',
    password('operator'),
    '--no-auth-warning',
  ];
  const primaryAt = async (sentinel: (typeof composeSentinels)[number]) =>
    (await stack.cli(sentinel, client, 'sentinel', 'get-master-addr-by-name', 'telemetry')).split(
      '\n',
    );

  await eventually('each sentinel knows two replicas and the other two', async () => {
    const known = await Promise.all(
      composeSentinels.map((name) => stack.cli(name, client, 'info', 'sentinel')),
    );
    return known.every((info) => /status=ok.*slaves=2,sentinels=3/.test(info)) ? true : undefined;
  });
  const first = ['127.0.0.1', String(stack.portOf('redis'))];
  for (const sentinel of composeSentinels) expect(await primaryAt(sentinel)).toEqual(first);
  expect(await stack.cli('sentinel-1', client, 'sentinel', 'failover', 'telemetry')).toMatch(
    /NOPERM/,
  );

  expect(await stack.cli('sentinel-1', failover, 'sentinel', 'failover', 'telemetry')).toBe('OK');
  const port = await eventually('all sentinels name another primary', async () => {
    const named = await Promise.all(composeSentinels.map(primaryAt));
    const ports = new Set(named.map(([, at]) => at));
    return ports.size === 1 && !ports.has(first[1]) ? Number([...ports][0]) : undefined;
  });
  const promoted = composeServers.find((name) => stack.portOf(name) === port) ?? 'redis';
  await eventually('the other replica copies from it', async () => {
    const info = await stack.cli(promoted, operator, 'info', 'replication');
    return /role:master/.test(info) && /connected_slaves:[12]/.test(info) ? true : undefined;
  });
  const log = execFileSync('sh', ['-c', `cat ${stack.folder}/*/server.log`], { encoding: 'utf8' });
  expect(log).not.toMatch(/NOPERM|NOAUTH|WRONGPASS|no permission/i);
});
