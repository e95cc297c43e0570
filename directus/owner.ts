import { z } from 'zod';
import type { Geofence } from '../src/domain/geofence.ts';
import { readGeofence } from '../src/domain/geofence.ts';
import type { Assignment, DeviceKey, GeofenceId, SubjectKey } from '../src/domain/types.ts';
import type { SimulatedGeofence } from '../src/simulator/circuit-geofences.ts';
import type { DrivingDevice } from '../src/simulator/crossing-ledger.ts';
import type { Api } from './api.ts';

type Shape = SimulatedGeofence['shape'];

const MAX_VERTICES = 1_000;
const BEFORE_MS = 20 * 86_400_000;

const item = z.object({ id: z.string() });

async function create(api: Api, collection: string, values: object): Promise<string> {
  return item.parse(await api.data('POST', `/items/${collection}`, values)).id;
}

/** Draws the geofences of the circuits, each once, as the map of Directus would send them. */
export async function drawGeofences(
  api: Api,
  devices: readonly DrivingDevice[],
): Promise<readonly SimulatedGeofence[]> {
  const driven = devices.flatMap(({ geofences }) => geofences);
  const byId = new Map(driven.map((one) => [one.id, { ...one, shape: rounded(one.shape) }]));
  for (const { id, name, shape, radiusM, marginM } of byId.values()) {
    const row = { id, name, shape, radius_m: radiusM, margin_m: marginM, status: 'published' };
    await create(api, 'geofences', row);
  }
  return [...byId.values()];
}

/** Registers devices and assigns each to a vehicle of its own. @returns assignments by IMEI */
export async function registerDevices(
  api: Api,
  devices: readonly DrivingDevice[],
): Promise<Map<string, Assignment>> {
  const from = Date.now() - BEFORE_MS;
  const assignments = new Map<string, Assignment>();
  for (const { deviceId, isRegistered } of devices) {
    if (!isRegistered) continue;
    const device = await create(api, 'devices', { imei: deviceId, model: 'FMB120' });
    const vehicle = await create(api, 'vehicles', { name: `vehicle ${assignments.size + 1}` });
    const valid_from = new Date(from).toISOString();
    await create(api, 'device_assignments', { device, vehicle, valid_from });
    assignments.set(deviceId, { ...keysOf(device, vehicle), scope: null, from, to: Infinity });
  }
  return assignments;
}

export async function moveGeofence(api: Api, id: string, shape: object): Promise<void> {
  await api.data('PATCH', `/items/geofences/${id}`, { shape });
}

/** The same shape, farther east. */
export function movedEast(shape: Shape, degrees: number): Shape {
  return mapped(shape, ([longitude, latitude]) => [longitude + degrees, latitude]);
}

type Position = readonly [longitude: number, latitude: number];

/** As a map sends it; ST_AsGeoJSON of PostGIS would round what is finer than 1e-9 degrees. */
function rounded(shape: Shape): Shape {
  const round = (degrees: number) => Math.round(degrees * 1e7) / 1e7;
  return mapped(shape, ([longitude, latitude]) => [round(longitude), round(latitude)]);
}

function mapped({ type, coordinates }: Shape, change: (position: Position) => Position): Shape {
  const walk = (value: unknown): unknown => {
    if (!Array.isArray(value)) return value;
    const [x, y]: unknown[] = value;
    return typeof x === 'number' && typeof y === 'number' ? change([x, y]) : value.map(walk);
  };
  return { type, coordinates: walk(coordinates) };
}

/** Geofences as the domain reads them. @throws when one would be refused */
export function evaluated(geofences: readonly SimulatedGeofence[]): Geofence[] {
  return geofences.map(({ id, shape, radiusM, marginM }) => {
    const always = { scope: null, from: -Infinity, to: Infinity };
    const row = { id: geofenceId.parse(id), shape, radiusM, marginM, ...always };
    const reading = readGeofence(row, { maxVertices: MAX_VERTICES });
    if (!reading.ok) throw new Error(`the geofence ${id} is refused: ${reading.refusal}`);
    return reading.geofence;
  });
}

const geofenceId = z.custom<GeofenceId>((value) => typeof value === 'string');
const deviceKey = z.custom<DeviceKey>((value) => typeof value === 'string');
const subjectKey = z.custom<SubjectKey>((value) => typeof value === 'string');

function keysOf(device: string, vehicle: string) {
  return { device: deviceKey.parse(device), subject: subjectKey.parse(vehicle) };
}
