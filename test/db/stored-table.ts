/** What tests of migrations and of the columnstore ask of the table and do to it. */
import { readFile } from 'node:fs/promises';
import type { Client } from 'pg';
import type { Migration } from '../../src/db/migrator.ts';

const back = new URL('../../migrations/back/', import.meta.url);

/** Every value of every row, in one line. */
export async function fingerprint(client: Client): Promise<unknown> {
  const { rows } = await client.query(
    `SELECT count(*)::int AS rows, md5(string_agg(p::text, E'\\n' ORDER BY device_id, ts)) AS content
       FROM public.positions AS p`,
  );
  return rows[0];
}

/** Compresses every chunk. @returns how many there are */
export async function compressAll(client: Client): Promise<number> {
  const { rows } = await client.query<{ name: string }>(
    "SELECT c::text AS name FROM public.show_chunks('public.positions') AS c",
  );
  for (const { name } of rows) await client.query(`CALL public.convert_to_columnstore('${name}')`);
  return rows.length;
}

/** Runs the down migration of this one. */
export async function goBack(client: Client, { name }: Pick<Migration, 'name'>): Promise<void> {
  await client.query(await readFile(new URL(name, back), 'utf8'));
}
