import type { Client } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Outcomes } from '../../src/core/types.ts';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import { hasPooler, needsPooler, startPooler } from '../../tools/servers/pooler.ts';
import { connect, dayMs, deviceId, migratedDatabase, openPool, position } from './positions.ts';

const options = { chunkIntervalMs: dayMs, maxChunksPerStatement: 48 };
const refused = position({ deviceId: deviceId(7), altitude: 9001 });

/** Refuses some rows, and lets another application know of every row that is inserted. */
const witness = `
  ALTER TABLE public.positions ADD CONSTRAINT other_check CHECK (altitude <> 9001);
  CREATE TABLE public.seen (device_id text);
  CREATE FUNCTION public.witness() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO public.seen VALUES (NEW.device_id);
    PERFORM pg_catalog.pg_notify('seen', NEW.device_id);
    RETURN NULL;
  END $$;
  CREATE TRIGGER witness AFTER INSERT ON public.positions
    FOR EACH ROW EXECUTE FUNCTION public.witness();`;

/** Ends the session after the canary was inserted and before it is rolled back. */
const endOfSession = `
  CREATE FUNCTION public.end_session() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM pg_catalog.pg_terminate_backend(pg_catalog.pg_backend_pid());
    RETURN NULL;
  END $$;
  CREATE CONSTRAINT TRIGGER end_session AFTER INSERT ON public.seen
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.end_session();`;

/** What another session sees. */
async function traces(client: Client): Promise<object> {
  const { rows } = await client.query(`
    SELECT (SELECT count(*)::int FROM public.positions) AS stored,
           (SELECT count(*)::int FROM public.seen) AS seen,
           (SELECT count(*)::int FROM positions.devices) AS devices`);
  return rows[0];
}

/** What is notified from now on; the promise settles behind everything notified before it is asked. */
async function listen(url: string): Promise<(client: Client) => Promise<string[]>> {
  const listener = await connect(url);
  const heard: string[] = [];
  listener.on('notification', ({ payload }) => heard.push(payload ?? ''));
  await listener.query('LISTEN seen');
  return async (client) => {
    await client.query("NOTIFY seen, 'end'");
    while (!heard.includes('end')) await listener.query('SELECT 1');
    return heard;
  };
}

async function pooled(url: string): Promise<string> {
  const pooler = await startPooler(url);
  onTestFinished(() => pooler.stop());
  return pooler.url;
}

describe('the canary that is inserted after a refusal', () => {
  test.for([
    { way: 'directly', urlOf: async (url: string) => url, isMissing: false },
    { way: 'through a transaction pooler', urlOf: pooled, isMissing: !hasPooler() },
  ])(
    'leaves no row, no device and no notification, $way',
    async ({ urlOf, isMissing }, { skip }) => {
      if (isMissing) skip(needsPooler);
      const { client, url } = await migratedDatabase();
      await client.query(witness);
      const heard = await listen(url);
      const writer = createPositionWriter(openPool(await urlOf(url)), options);
      await writer.write([position()], [null]);

      const outcomes: Outcomes = [null];
      await writer.write([refused], outcomes);

      expect(outcomes).toMatchObject([{ reason: 'row_constraint_violated' }]);
      expect(await traces(client)).toEqual({ stored: 1, seen: 1, devices: 1 });
      expect(await heard(client)).toEqual([position().deviceId, 'end']);
    },
  );

  test('leaves nothing where its connection ends before the rollback; the row waits', async () => {
    const { client, url } = await migratedDatabase();
    await client.query(`${witness}${endOfSession}`);
    const heard = await listen(url);
    const writer = createPositionWriter(openPool(url), options);
    const outcomes: Outcomes = [null];

    await expect(writer.write([refused], outcomes)).rejects.toMatchObject({ kind: 'unavailable' });

    expect(outcomes).toEqual([null]);
    expect(await traces(client)).toEqual({ stored: 0, seen: 0, devices: 0 });
    expect(await heard(client)).toEqual(['end']);
  });
});
