import { expect, onTestFinished, test } from 'vitest';
import { composeFiles, makeSecrets, readShipped, startShippedRedis } from './shipped-redis.ts';

const stream = 'telemetry:teltonika';
const deadLetters = `${stream}:dlq`;

test('both compose files start Redis by the same command', () => {
  const [one, two] = composeFiles.map((name) => readShipped(name, '/secrets').redis.command);
  expect(one).toEqual(two);
});

test('an ACL of an earlier version loses nothing when it is replaced before the restart', async () => {
  const earlier = 'user default off resetpass resetkeys resetchannels -@all';
  const shipped = await startShippedRedis('compose.yaml', (acl) =>
    acl.replace(/^user default .*$/m, earlier),
  );
  onTestFinished(() => shipped.close());
  await shipped.connect('ingestion').xadd(stream, '*', 'nonsense', 'x');
  const service = shipped.connect('processor');
  // One transaction in the append-only file, as the service's scripts are.
  const script = `redis.call('XADD', KEYS[2], '*', 'a', 'b') redis.call('ZADD', KEYS[3], 1, '1-0')`;
  await service.eval(script, 3, stream, deadLetters, `${stream}:control:moved`);

  makeSecrets(shipped.secrets);
  await shipped.restart('SIGTERM');

  expect(await shipped.connect('processor-operator').xlen(deadLetters)).toBe(1);
});
