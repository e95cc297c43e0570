import { z } from 'zod';
import { type Api, type Method, shown } from './api.ts';
import { collectionNames } from './collections.ts';

/** Names of all collections that Directus lists, its own left out. */
async function listed(api: Api): Promise<string[]> {
  const collections = z.array(z.object({ collection: z.string() }));
  const all = collections.parse(await api.data('GET', '/collections'));
  return all
    .map(({ collection }) => collection)
    .filter((name) => !name.startsWith('directus_'))
    .sort();
}

/** @throws when Directus lists a table that is not of its own making */
export async function checkExclusion(api: Api): Promise<void> {
  const names = await listed(api);
  const wanted = [...collectionNames].sort();
  if (names.join() !== wanted.join()) {
    throw new Error(`Directus lists ${names.join(', ')}, not ${wanted.join(', ')}`);
  }
}

interface Change {
  readonly what: string;
  readonly method: Method;
  readonly path: string;
  readonly body?: object;
}

const timestamp = { type: 'dateTime', schema: { data_type: 'timestamp without time zone' } };

/** What a person can do to a column in the data model of Directus. */
const refusedChanges: readonly Change[] = [
  { what: 'delete a column', method: 'DELETE', path: '/fields/geofences/radius_m' },
  { what: 'delete the shape', method: 'DELETE', path: '/fields/geofences/shape' },
  {
    what: 'retype a number',
    method: 'PATCH',
    path: '/fields/geofences/radius_m',
    body: { type: 'integer', schema: { data_type: 'integer' } },
  },
  {
    what: 'take the zone from a time',
    method: 'PATCH',
    path: '/fields/device_assignments/valid_to',
    body: timestamp,
  },
  { what: 'delete a collection', method: 'DELETE', path: '/collections/device_assignments' },
];

/** @throws when Directus does anything but answer 500, because PostgreSQL refuses */
export async function checkRefusals(api: Api): Promise<void> {
  for (const { what, method, path, body } of refusedChanges) {
    const answer = await api.ask(method, path, body);
    if (answer.status === 500) continue;
    throw new Error(`${what}: ${method} ${path}: ${answer.status} ${shown(answer.body)}`);
  }
}

const named = z.object({ field: z.string() });

/** Directus renames no field: it answers with the old name, and the column keeps it. */
export async function checkRename(api: Api): Promise<void> {
  const path = '/fields/geofences/radius_m';
  const { field } = named.parse(await api.data('PATCH', path, { field: 'radius' }));
  if (field !== 'radius_m') throw new Error(`the field is now ${field}`);
  await api.data('GET', path);
}

/** A geofence with timing records is kept by the foreign key. */
export async function checkKept(api: Api, geofence: string): Promise<void> {
  const answer = await api.ask('DELETE', `/items/geofences/${geofence}`);
  if (answer.status < 300) throw new Error('Directus deleted a geofence with timing records');
  await api.data('GET', `/items/geofences/${geofence}`);
}

export async function deleteField(api: Api, field: string): Promise<void> {
  await api.data('DELETE', `/fields/timing_records/${field}`);
}

export async function createField(api: Api, field: string): Promise<void> {
  await api.data('POST', '/fields/timing_records', { field, type: 'string', schema: {}, meta: {} });
}

/** @throws when Directus deletes a column of timing_records */
export async function checkColumnIsKept(api: Api, field: string): Promise<void> {
  const answer = await api.ask('DELETE', `/fields/timing_records/${field}`);
  if (answer.status !== 500) throw new Error(`${answer.status} ${shown(answer.body)}`);
}
