import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { freePort } from '../../tools/servers/ports.ts';
import { eventually } from '../../tools/service.ts';
import { entry, entryOf, stream } from './entries.ts';
import { useMarkedServers } from './marked-servers.ts';
import { deviceId, personalDataIn, place, secrets, secretsIn } from './markers.ts';
import { ask } from './roles.ts';

/** An error that is retried, and that holds the row as PostgreSQL's own do. */
const failWithTheRow = [
  `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = format('no room for "%s"', NEW),
     DETAIL = format('Failing row contains %s.', NEW), HINT = NEW::text; END $$`,
  'CREATE TRIGGER full_disk BEFORE INSERT ON public.positions FOR EACH ROW EXECUTE FUNCTION full_disk()',
];

describe('passwords, IMEIs and coordinates, while entries come', () => {
  const stand = useMarkedServers();
  const { redisUrl, postgresUrl, service, collect, expectNothing } = stand;

  const tracing = (port: number) => ({
    TRACING_ENDPOINT: `http://u:${encodeURIComponent(secrets.tracing)}@127.0.0.1:${port}/v1/traces`,
    TRACING_SAMPLE_PERCENT: '100',
  });

  /** Good, bad, conflicting, refused by the database, of no form at all; all of one device. */
  async function plant(): Promise<void> {
    const marked = { device_id: deviceId, ...place };
    const bodies = [
      marked,
      { ...marked, speed: 99 },
      { ...marked, latitude: 112.3456789 },
      { ...marked, longitude: '-98.7654321' },
      { ...marked, device_id: deviceId.slice(0, 14) },
      { ...marked, timestamp: `2026-11-01T00:00:00.000Z ${deviceId}` },
      { ...marked, attributes: { [deviceId]: place.latitude } },
      { ...marked, attributes: { 1: { __bigint: `${deviceId}x` } } },
      { ...marked, extra: place },
    ];
    for (const body of bodies) {
      await stand.redis.xadd(stream, '*', ...entryOf(deviceId, 0, body));
    }
    await stand.redis.xadd(stream, '*', ...entryOf(`${deviceId}9`, 0, marked));
    await stand.redis.xadd(stream, '*', ...entryOf(deviceId.slice(0, 14), 1, marked));
    const [, , , , , , , payload = ''] = entry(2, { ...marked, speed: 77 });
    for (const damaged of [
      payload.slice(0, -3),
      `${payload}${deviceId}`,
      `"${deviceId}"`,
      '[12.3456789]',
    ]) {
      const fields = entryOf(deviceId, 2, marked);
      fields[7] = damaged;
      await stand.redis.xadd(stream, '*', ...fields);
    }
    await stand.redis.xadd(stream, '*', ...entryOf(deviceId, 3, { ...marked, speed: 77 }));
    await stand.redis.xadd(stream, '*', 'device_id', deviceId, 'frame_hex', `00000000${deviceId}`);
    await stand.redis.xadd(stream, '*', deviceId, String(place.latitude));
  }

  /** The database itself refuses these, and says so with the whole row. */
  const refuse = () =>
    ask(
      stand.databaseUrl,
      'ALTER TABLE public.positions ADD CONSTRAINT not_77 CHECK (speed <> 77)',
    );

  const untilSettled = () =>
    eventually('everything has an outcome', async () => {
      const [group] = toLists(await stand.redis.xinfo('GROUPS', stream));
      const field = (name: string) => group?.[group.indexOf(name) + 1];
      return field('pending') === 0 && field('lag') === 0 ? true : undefined;
    });

  async function lettersText(): Promise<string> {
    return JSON.stringify(await stand.redis.xrange(`${stream}:dlq`, '-', '+'));
  }

  test.each([
    ['debug', 'in the URLs'],
    ['info', 'in files'],
  ])(
    'at level %s, with passwords %s: nothing shows them while entries come',
    async (level, where) => {
      const port = await freePort();
      const [redisFile, postgresFile] = [join(stand.dir, 'redis'), join(stand.dir, 'postgres')];
      await writeFile(redisFile, `${secrets.redis}\n`);
      await writeFile(postgresFile, `${secrets.postgres}\n`);
      const inFiles = where === 'in files';
      const one = service({
        LOG_LEVEL: level,
        REDIS_URL: redisUrl(inFiles ? null : secrets.redis),
        POSTGRES_URL: postgresUrl(inFiles ? null : secrets.postgres),
        ...(inFiles && { REDIS_PASSWORD_FILE: redisFile, POSTGRES_PASSWORD_FILE: postgresFile }),
        ...tracing(port),
      });
      await one.untilReady();
      await refuse();
      await plant();
      await untilSettled();
      await collect('running', one);
      // The servers fail under it, and come back.
      await ask(stand.databaseUrl, ...failWithTheRow);
      await stand.redis.xadd(
        stream,
        '*',
        ...entryOf(deviceId, 9, { device_id: deviceId, ...place }),
      );
      await eventually('it is not ready', async () =>
        (await one.health('ready')) === 503 ? true : undefined,
      );
      await stand.redis.call('CLIENT', 'KILL', 'TYPE', 'normal');
      await collect('failing', one);
      await ask(stand.databaseUrl, 'DROP TRIGGER full_disk ON positions');
      await one.untilReady();
      expect(await one.end('SIGTERM')).toBe(0);
      await collect('ended', one);

      const letters = await lettersText();
      expect(letters).toContain(deviceId);
      expect(letters).toMatch(/row_constraint_violated/);
      expect(letters).toMatch(/conflict/);
      expect(one.logs.length).toBeGreaterThan(5);
      stand.written.set('dead letters', letters);
      expectNothing(secretsIn);
      stand.written.delete('dead letters');
      expectNothing(personalDataIn);
    },
  );

  test('what a dead letter says of itself holds nothing of the entry', async () => {
    const one = service({
      REDIS_URL: redisUrl(secrets.redis),
      POSTGRES_URL: postgresUrl(secrets.postgres),
    });
    await one.untilReady();
    await refuse();
    await plant();
    await untilSettled();

    const letters = await stand.redis.xrange(`${stream}:dlq`, '-', '+');
    expect(letters.length).toBeGreaterThan(10);
    for (const [id, fields] of letters) {
      const own = fields.filter((_, at) => {
        const name = fields[at - (at % 2)] ?? '';
        return !/^(f|cut|sha256):/.test(name);
      });
      stand.written.set(`letter ${id}`, JSON.stringify(own));
    }
    expectNothing(personalDataIn);
  });
});

function toLists(reply: unknown): unknown[][] {
  return Array.isArray(reply) ? reply.filter(Array.isArray) : [];
}
