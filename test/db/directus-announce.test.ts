import { readFile } from 'node:fs/promises';
import type { Client } from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { createDirectus } from '../../tools/domain-fixture.ts';
import { freshDatabase } from '../setup/database.ts';
import { connect } from './positions.ts';

const script = new URL('../../deploy/sql/directus/websocket/announce.sql', import.meta.url);

/** A client that listens, and the keys that PostgreSQL announced to it, payload by payload. */
async function announced(): Promise<{ client: Client; payloads(): Promise<string[][]> }> {
  const { url, drop } = await freshDatabase();
  onTestFinished(drop);
  const client = await connect(url);
  await createDirectus(client);
  // psql's own line sets what an error does in psql.
  const sql = (await readFile(script, 'utf8')).replace(/^\\set .*$/m, '');
  await client.query(sql);
  await client.query(sql);
  const listener = await connect(url);
  const received: string[] = [];
  listener.on('notification', ({ payload = '' }) => received.push(payload));
  await listener.query('LISTEN timing_records');
  return {
    client,
    async payloads() {
      // Notifications of earlier commits arrive before the answer of a later statement.
      await listener.query('SELECT 1');
      return received.splice(0).map((payload) => payload.split(','));
    },
  };
}

const insert = (source: string, count: number) => `
  INSERT INTO public.timing_records (id, direction, at, after_ts, source)
  SELECT gen_random_uuid(), 'enter', now(), now(), '${source}' FROM generate_series(1, ${count})
  RETURNING id`;

test('every record of processor is announced once, in payloads that NOTIFY takes', async () => {
  const { client, payloads } = await announced();
  const { rows } = await client.query<{ id: string }>(insert('processor', 450));
  await client.query(insert('manual', 3));

  const parts = await payloads();
  expect(parts.map((part) => part.length)).toEqual([200, 200, 50]);
  expect(Math.max(...parts.map((part) => part.join(',').length))).toBeLessThan(8000);
  expect(parts.flat().sort()).toEqual(rows.map(({ id }) => id).sort());
});

test('a record that is superseded or revived is announced, and no other change', async () => {
  const { client, payloads } = await announced();
  const { rows } = await client.query<{ id: string }>(insert('processor', 2));
  await payloads();
  const id = rows[0]?.id ?? '';

  await client.query('UPDATE public.timing_records SET superseded_at = now() WHERE id = $1', [id]);
  expect(await payloads()).toEqual([[id]]);
  await client.query('UPDATE public.timing_records SET superseded_at = NULL');
  expect(await payloads()).toEqual([[id]]);
  await client.query('UPDATE public.timing_records SET date_updated = now()');
  expect(await payloads()).toEqual([]);
});
