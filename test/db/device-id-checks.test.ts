import type { Client } from 'pg';
import { expect, test } from 'vitest';
import { deviceId, migratedDatabase } from './positions.ts';

/** Inserts one row a device in one statement, as any other writer could. */
async function insert(client: Client, devices: readonly string[]): Promise<void> {
  await client.query(
    `INSERT INTO public.positions (device_id, ts, altitude, angle, speed, satellites, priority, fix, codec, attributes)
     SELECT device, '2026-03-01T12:00:00Z', 0, 0, 0, 0, 0, false, '8', '{}' FROM unnest($1::text[]) AS device`,
    [devices],
  );
}

async function count(client: Client): Promise<number> {
  const { rows } = await client.query('SELECT FROM public.positions');
  return rows.length;
}

const refused = [
  ['35000000000000a', 'devices_device_id_imei'],
  ['35000000000000 ', 'devices_device_id_imei'],
  ['-35000000000000', 'devices_device_id_imei'],
  ['3500000000000\u0663', 'devices_device_id_imei'],
  ['35000000000000', 'positions_device_id_length'],
  ['3500000000000000', 'positions_device_id_length'],
  ['', 'positions_device_id_length'],
] as const;

test('a device id that is not 15 digits is refused from any writer', async () => {
  const { client } = await migratedDatabase();

  for (const [device, constraint] of refused) {
    await expect(insert(client, [deviceId(1), device])).rejects.toMatchObject({
      code: '23514',
      constraint,
    });
  }
  expect(await count(client)).toBe(0);
});

test('a device that is refused among listed devices is not listed by it', async () => {
  const { client } = await migratedDatabase();
  await insert(client, [deviceId(1), deviceId(2)]);

  await expect(insert(client, [deviceId(3), '35000000000000a'])).rejects.toThrow('devices');
  await expect(insert(client, ['35000000000000a'])).rejects.toThrow('devices');
  await insert(client, [deviceId(3)]);
  expect(await count(client)).toBe(3);
});
