/**
 * Collections as a real Directus makes them, with the contract of deploy/sql/directus/ on top, and the
 * rows that an operator enters there. For tests, the demo and the benchmark.
 */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type pg from 'pg';

type Queryable = Pick<pg.ClientBase, 'query'>;

export interface DirectusOptions {
  /** The role that evaluates; it must exist. Null: the connected role, which then needs no grant. */
  readonly domainRole?: string | null;
}

/** Text and GeoJSON of a geofence; what is left out is as Directus has it by default, published. */
export interface GeofenceRow {
  readonly name?: string;
  readonly status?: 'draft' | 'published' | 'archived';
  /** The organisation of a fleet, as text; the event of a race, as its uuid. */
  readonly scope?: string | null;
  /** GeoJSON; a text is stored as it is, also when it is no GeoJSON. */
  readonly shape: object | string | null;
  readonly radiusM?: number | null;
  readonly marginM?: number | null;
  readonly validFrom?: Date | null;
  readonly validTo?: Date | null;
}

export interface Period {
  readonly validFrom: Date;
  readonly validTo?: Date | null;
}

const collections = new URL('./domain/', import.meta.url);
const contracts = new URL('../deploy/sql/directus/', import.meta.url);

/** The text of a contract file, with another role in place of processor_domain. */
export async function readContract(
  kind: 'fleet' | 'race',
  { domainRole = null }: DirectusOptions = {},
): Promise<string> {
  const sql = await readFile(new URL(`contract-${kind}.sql`, contracts), 'utf8');
  const role = domainRole === null ? 'CURRENT_USER' : `"${domainRole.replaceAll('"', '""')}"`;
  return sql.replaceAll(/\bTO processor_domain;/g, `TO ${role};`);
}

/** Creates the collections, the contract views and the grants, as the connected role. */
export async function createDirectus(
  client: Queryable,
  kind: 'fleet' | 'race' = 'fleet',
  options: DirectusOptions = {},
): Promise<void> {
  await client.query(await readFile(new URL(`directus-${kind}.sql`, collections), 'utf8'));
  await client.query('CREATE SCHEMA IF NOT EXISTS processor_contract');
  await client.query(await readContract(kind, options));
}

/** @returns the key of the device */
export async function insertDevice(client: Queryable, imei: string): Promise<string> {
  const id = randomUUID();
  await client.query(
    `INSERT INTO public.devices (id, imei, model, date_created) VALUES ($1, $2, 'FMB120', now())`,
    [id, imei],
  );
  return id;
}

/** @returns the key of the vehicle */
export async function insertVehicle(
  client: Queryable,
  name: string,
  scope: string | null = null,
): Promise<string> {
  const id = randomUUID();
  await client.query(
    'INSERT INTO public.vehicles (id, name, scope, date_created) VALUES ($1, $2, $3, now())',
    [id, name, scope],
  );
  return id;
}

/** Assigns a device of a fleet to a vehicle. @returns the key of the assignment */
export async function insertAssignment(
  client: Queryable,
  device: string,
  vehicle: string | null,
  { validFrom, validTo = null }: Period,
): Promise<string> {
  const id = randomUUID();
  await client.query(
    `INSERT INTO public.device_assignments (id, device, vehicle, valid_from, valid_to, date_created)
     VALUES ($1, $2, $3, $4, $5, now())`,
    [id, device, vehicle, validFrom, validTo],
  );
  return id;
}

/** @returns the key of the geofence */
export async function insertGeofence(
  client: Queryable,
  row: GeofenceRow,
  kind: 'fleet' | 'race' = 'fleet',
): Promise<string> {
  const id = randomUUID();
  const { name = 'geofence', status = 'published', scope = null, shape } = row;
  const { radiusM = null, marginM = 20, validFrom = null, validTo = null } = row;
  const text = shape === null || typeof shape === 'string' ? shape : JSON.stringify(shape);
  await client.query(
    `INSERT INTO public.geofences (id, name, status, ${kind === 'fleet' ? 'scope' : 'event'}, shape,
       radius_m, margin_m, valid_from, valid_to, date_created)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, now())`,
    [id, name, status, scope, text, radiusM, marginM, validFrom, validTo],
  );
  return id;
}

/** @returns the key of the range */
export async function insertIgnoredRange(
  client: Queryable,
  device: string,
  from: Date,
  to: Date,
): Promise<string> {
  const id = randomUUID();
  await client.query(
    `INSERT INTO public.ignored_ranges (id, device, valid_from, valid_to, date_created)
     VALUES ($1, $2, $3, $4, now())`,
    [id, device, from, to],
  );
  return id;
}

/** @returns the key of the event of a race */
export async function insertEvent(
  client: Queryable,
  { validFrom, validTo = null }: Period,
): Promise<string> {
  const id = randomUUID();
  await client.query(
    `INSERT INTO public.events (id, name, starts_at, ends_at, date_created)
     VALUES ($1, 'event', $2, $3, now())`,
    [id, validFrom, validTo],
  );
  return id;
}

/** Enters devices under one race number. @returns the key of the entry */
export async function insertEntry(
  client: Queryable,
  event: string,
  raceNumber: number,
  devices: readonly string[],
): Promise<string> {
  const id = randomUUID();
  await client.query(
    `INSERT INTO public.entries (id, event, race_number, name, date_created)
     VALUES ($1, $2, $3, 'entry', now())`,
    [id, event, raceNumber],
  );
  for (const device of devices) {
    await client.query(
      `INSERT INTO public.entry_devices (id, entry, device, date_created) VALUES ($1, $2, $3, now())`,
      [randomUUID(), id, device],
    );
  }
  return id;
}
