import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { createDirectus } from '../../tools/domain-fixture.ts';
import type { Figures } from '../figures.ts';
import type { Stand } from '../stand.ts';
import { geofenceShapes } from './geofences.ts';

export const manyGeofences = 100_000;
const inStatement = 2_000;
const script = fileURLToPath(new URL('load-contract.ts', import.meta.url));

/** Inserts generated geofences into the collections. */
export async function insertGeofences(
  client: Pick<pg.ClientBase, 'query'>,
  count: number,
): Promise<void> {
  let texts: string[] = [];
  const flush = async () => {
    await client.query(
      `INSERT INTO public.geofences (id, name, status, shape, margin_m, date_created)
       SELECT gen_random_uuid(), 'geofence', 'published', shape::json, 20, now()
         FROM unnest($1::text[]) AS shape`,
      [texts],
    );
    texts = [];
  };
  for (const shape of geofenceShapes(count)) {
    texts.push(JSON.stringify(shape));
    if (texts.length === inStatement) await flush();
  }
  if (texts.length > 0) await flush();
}

/** What 100,000 geofences of 32 corners cost: memory and time to load, and a poll that finds nothing new. */
export async function contractCosts(stand: Stand, figures: Figures): Promise<void> {
  const url = await stand.freshTable();
  const client = new pg.Client(url);
  await client.connect();
  try {
    await createDirectus(client);
    await insertGeofences(client, manyGeofences);
    await client.query('VACUUM ANALYZE public.geofences');
  } finally {
    await client.end();
  }
  // A process of its own: only there the memory is that of the geofences.
  const run = spawnSync(process.execPath, ['--expose-gc', script, url], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH },
  });
  if (run.status !== 0) throw new Error(`the geofences were not loaded: ${run.stderr}`);
  const found: unknown = JSON.parse(run.stdout);
  if (typeof found !== 'object' || found === null) throw new TypeError('no figures');
  for (const [name, value] of Object.entries(found)) figures.note(name, Number(value));
}
