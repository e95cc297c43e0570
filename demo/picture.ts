/**
 * Draws docs/pictures/domain.svg from a real run: servers, the service and one vehicle of the
 * simulator; the positions, geofences and timing records are then read from the database.
 *
 *   node demo/picture.ts
 */
import { readFile, writeFile } from 'node:fs/promises';
import { feed } from '../src/simulator/feed.ts';
import { createFleet } from '../src/simulator/fleet.ts';
import { plainHabits } from '../src/simulator/habits.ts';
import { createSender } from '../src/simulator/sender.ts';
import { childEnvironment } from '../tools/child-environment.ts';
import { freePort } from '../tools/servers/ports.ts';
import { prepareDomain, readDrive, untilComputed } from './domain.ts';
import { drawDrive } from './drive-picture.ts';
import { openDemoRedis, openServers } from './servers.ts';
import { startService, untilReady } from './service.ts';
import { untilSettled } from './settle.ts';

const READY_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 60_000;
const stream = { key: 'telemetry:teltonika', group: 'processor' };
/** A day and a seed that give a lap with every kind of crossing that one lap can have. */
const records = 150;
const drive = { seed: 3, baseTime: Date.UTC(2026, 10, 1, 12) };
const picture = new URL('../docs/pictures/domain.svg', import.meta.url);

const signal = new AbortController().signal;
const cleanup = new AsyncDisposableStack();
try {
  await writeFile(picture, await draw());
} finally {
  await cleanup.disposeAsync();
}
process.stdout.write(`${(await readFile(picture)).length} bytes in docs/pictures/domain.svg\n`);

async function draw(): Promise<string> {
  const servers = await openServers({}, () => ({ done() {} }));
  cleanup.defer(() => servers.stop());
  const databaseUrl = servers.postgresUrl ?? '';
  const redisUrl = servers.redisUrl ?? '';
  const fleet = createFleet({
    ...drive,
    devices: 1,
    form: 'b',
    packetRecords: 1,
    habits: plainHabits,
    expectedRecords: records,
    drivesCircuits: true,
  });
  await prepareDomain(databaseUrl, fleet.driving);
  const port = await freePort();
  const service = await startService(
    {
      ...childEnvironment(),
      REDIS_URL: redisUrl,
      POSTGRES_URL: databaseUrl,
      REDIS_TELEMETRY_STREAM: stream.key,
      REDIS_CONSUMER_GROUP: stream.group,
      HTTP_HOST: '127.0.0.1',
      HTTP_PORT: String(port),
      TIMESCALEDB: 'optional',
      DOMAIN: 'on',
      DOMAIN_SUBJECT_COLUMN: 'vehicle',
    },
    port,
  );
  cleanup.defer(() => service.close());
  await untilReady(service, READY_TIMEOUT_MS, signal);
  const single = { topology: { kind: 'single', url: redisUrl }, natMap: [], tls: null } as const;
  const redis = await openDemoRedis({ ...single, connectTimeoutMs: 5000 }, stream.key);
  cleanup.defer(() => redis.disconnect());
  const sender = createSender({
    open: () => redis.duplicate({ lazyConnect: true }).on('error', () => {}),
    stream: stream.key,
    onSent() {},
    signal,
  });
  cleanup.defer(() => sender.close());
  await feed({ sender, fleet, records, durationMs: null, rate: null, maxBacklog: null, signal });
  await untilSettled({ redis, stream: stream.key, group: stream.group, service, signal });
  await untilComputed({ databaseUrl, service, signal });
  await service.stop(STOP_TIMEOUT_MS);
  return drawDrive(await readDrive(databaseUrl));
}
