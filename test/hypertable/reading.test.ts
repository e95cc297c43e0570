import { randomUUID } from 'node:crypto';
import type { Client } from 'pg';
import { beforeEach, describe, expect, test } from 'vitest';
import type { Position } from '../../src/core/types.ts';
import { createPositionWriter, type PositionWriter } from '../../src/db/position-writer.ts';
import { dayMs, deviceId, migratedDatabase, position } from '../db/positions.ts';
import { describeEachTable } from '../setup/hypertable.ts';

const noon = Date.UTC(2026, 2, 1, 12);
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const options = { chunkIntervalMs: dayMs, maxChunksPerStatement: 48 };

let client: Client;
let writer: PositionWriter;

/** A row at minutes after noon; `device` gives the device's number. */
function at(minutes: number, change: Partial<Position> = {}, device = 1): Position {
  return position({ deviceId: deviceId(device), ts: noon + minutes * minuteMs, ...change });
}

const noFix = { fix: false, satellites: 0 };

async function store(...rows: Position[]): Promise<void> {
  await writer.write(
    rows,
    rows.map(() => null),
  );
}

async function ask(text: string, values: readonly unknown[] = []): Promise<unknown[]> {
  return (await client.query(text, [...values])).rows;
}

const iso = (ms: number) => new Date(ms).toISOString();

describeEachTable('the reading functions', (fresh) => {
  beforeEach(async () => {
    const opened = await migratedDatabase({}, fresh);
    client = opened.client;
    writer = createPositionWriter(opened.database, options);
  });

  describe('positions.devices', () => {
    const devices = () => ask('SELECT * FROM positions.devices ORDER BY device_id');
    const day = (offset: number) => new Date(Date.UTC(2026, 2, 1 + offset));

    test('knows every device and the day of its newest record', async () => {
      await store(at(0), at(-3 * 24 * 60), at(0, {}, 2), at(24 * 60, {}, 2));

      expect(await devices()).toEqual([
        { device_id: deviceId(1), newest_day: day(0) },
        { device_id: deviceId(2), newest_day: day(1) },
      ]);
    });

    test('is not moved back by a record that comes late', async () => {
      await store(at(0));
      await store(at(-40 * 24 * 60));

      expect(await devices()).toEqual([{ device_id: deviceId(1), newest_day: day(0) }]);
    });

    test('is not written again for a record of the same day', async () => {
      const written = () => ask('SELECT xmin::text, ctid::text FROM positions.devices');
      await store(at(0));
      const before = await written();
      await store(at(5), at(-5));

      expect(await written()).toEqual(before);
    });

    test('a role that may only write positions needs no right on it', async () => {
      // Roles belong to the whole server.
      const role = `processor_test_${randomUUID().replaceAll('-', '')}`;
      await client.query(
        `CREATE ROLE ${role}; GRANT SELECT, INSERT ON public.positions TO ${role}`,
      );
      await client.query(`SET ROLE ${role}`);
      await client.query(
        `INSERT INTO public.positions (device_id, ts, altitude, angle, speed, satellites, priority, fix,
                              codec, attributes)
       VALUES ($1, $2, 0, 0, 0, 0, 0, false, '8', '{}')`,
        [deviceId(7), iso(noon)],
      );
      await client.query(`RESET ROLE; DROP OWNED BY ${role}; DROP ROLE ${role}`);

      expect(await devices()).toEqual([{ device_id: deviceId(7), newest_day: day(0) }]);
    });
  });

  describe('positions.last_position', () => {
    const last = (devices: readonly number[], more = '') =>
      ask(
        `SELECT device_id, last_ts, fix_ts, latitude, speed, attributes
         FROM positions.last_position($1${more}) ORDER BY device_id`,
        [devices.map(deviceId)],
      );
    const all = () =>
      ask('SELECT device_id, last_ts, fix_ts FROM positions.last_positions ORDER BY device_id');

    test('is the newest record, whatever the order of arrival', async () => {
      await store(at(30, { speed: 3 }), at(10, { speed: 1 }), at(20, { speed: 2 }));

      expect(await last([1])).toEqual([
        {
          device_id: deviceId(1),
          last_ts: new Date(noon + 30 * minuteMs),
          fix_ts: new Date(noon + 30 * minuteMs),
          latitude: 54.7146,
          speed: 3,
          attributes: { '21': 4, '66': 12345 },
        },
      ]);
    });

    test.each([
      ['of the same day', 20],
      ['of the day before', 20 * 60],
      ['of two weeks before', 14 * 24 * 60],
    ])(
      'without a fix is the last contact; the position is that of the last fix %s',
      async (_, ago) => {
        await store(at(-ago, { speed: 9 }), at(-1, { ...noFix, attributes: '{"1":0}' }));
        await store(at(0, { ...noFix, attributes: '{"1":1}' }));

        expect(await last([1])).toMatchObject([
          {
            last_ts: new Date(noon),
            fix_ts: new Date(noon - ago * minuteMs),
            speed: 9,
            attributes: { '1': 1 },
          },
        ]);
      },
    );

    test('a fix is looked for no longer than asked', async () => {
      await store(at(-40 * 24 * 60), at(0, noFix));

      expect(await last([1])).toMatchObject([{ last_ts: new Date(noon), fix_ts: null }]);
      expect(await last([1], ", interval '50 days'")).toMatchObject([
        { fix_ts: new Date(noon - 40 * dayMs) },
      ]);
      expect(await last([1], ", interval '1 hour'")).toMatchObject([
        { fix_ts: null, latitude: null },
      ]);
    });

    test('of devices that were heard of on many different days', async () => {
      const ages = Array.from({ length: 40 }, (_, index) => index * index);
      await store(...ages.map((age, index) => at(-age * 24 * 60, {}, index + 1)));

      expect(await all()).toEqual(
        ages.map((age, index) => ({
          device_id: deviceId(index + 1),
          last_ts: new Date(noon - age * dayMs),
          fix_ts: new Date(noon - age * dayMs),
        })),
      );
    });

    test('is found after rows of the newest day were deleted by hand', async () => {
      await store(at(0), at(-1), at(-10 * 24 * 60), at(-11 * 24 * 60));
      await client.query('DELETE FROM public.positions WHERE ts > $1', [iso(noon - dayMs)]);

      expect(await last([1])).toMatchObject([
        { last_ts: new Date(noon - 10 * dayMs), fix_ts: new Date(noon - 10 * dayMs) },
      ]);
    });

    test('a device without rows, or unknown, is left out', async () => {
      await store(at(0), at(0, {}, 2));
      await client.query('DELETE FROM public.positions WHERE device_id = $1', [deviceId(2)]);

      expect(await last([1, 2, 3])).toMatchObject([{ device_id: deviceId(1) }]);
      expect(await last([])).toEqual([]);
    });

    test('every device has one, also one named twice', async () => {
      await store(at(0), at(0, {}, 2), at(1, noFix, 3));

      expect(await last([1, 1])).toHaveLength(1);
      expect(await all()).toHaveLength(3);
    });
  });

  describe('positions.track', () => {
    const track = (fromMs: number, toMs: number) =>
      ask('SELECT ts, speed FROM positions.track($1, $2, $3)', [
        deviceId(1),
        iso(fromMs),
        iso(toMs),
      ]);

    test('is the fixes of one device in a window, oldest first', async () => {
      await store(at(2, { speed: 2 }), at(0), at(1, noFix), at(3), at(1.5, {}, 2), at(10));

      expect(await track(noon, noon + 10 * minuteMs)).toEqual([
        { ts: new Date(noon), speed: 42 },
        { ts: new Date(noon + 2 * minuteMs), speed: 2 },
        { ts: new Date(noon + 3 * minuteMs), speed: 42 },
      ]);
    });
  });

  describe('positions.devices_in_window', () => {
    test('names devices with records, and the first and last of these', async () => {
      await store(at(0), at(5, noFix), at(60), at(3, {}, 2), at(-1, {}, 3), at(-20_000, {}, 4));
      await store(at(30_000, {}, 4));

      const found = await ask(
        'SELECT * FROM positions.devices_in_window($1, $2) ORDER BY device_id',
        [iso(noon), iso(noon + hourMs)],
      );

      expect(found).toEqual([
        {
          device_id: deviceId(1),
          first_ts: new Date(noon),
          last_ts: new Date(noon + 5 * minuteMs),
        },
        {
          device_id: deviceId(2),
          first_ts: new Date(noon + 3 * minuteMs),
          last_ts: new Date(noon + 3 * minuteMs),
        },
      ]);
    });

    test('also those whose newest record is of the window’s first day', async () => {
      await store(at(0), at(-12 * 60, {}, 2));

      const found = await ask(
        'SELECT device_id FROM positions.devices_in_window($1, $2) ORDER BY 1',
        [iso(noon - 12 * hourMs), iso(noon + 1)],
      );

      expect(found).toEqual([{ device_id: deviceId(1) }, { device_id: deviceId(2) }]);
    });
  });

  describe('positions.distance_per_day', () => {
    const perDay = (fromMs: number, toMs: number, more = '') =>
      ask(
        `SELECT day::text, fixes::int, round(metres)::int AS metres,
              extract(epoch FROM moving)::int AS moving
         FROM positions.distance_per_day($1, $2, $3${more})`,
        [deviceId(1), iso(fromMs), iso(toMs)],
      );
    const north = (degrees: number, speed = 50) => ({ latitude: degrees, longitude: 20, speed });

    test('adds up the steps in order of time, without records that have no fix', async () => {
      await store(at(2, north(10.02)), at(0, north(10)), at(1, north(10.01)));
      await store(at(1.5, { ...north(80), fix: false, satellites: 0 }));

      expect(await perDay(noon, noon + hourMs)).toEqual([
        { day: '2026-03-01', fixes: 3, metres: 2224, moving: 120 },
      ]);
    });

    test('time counts as standing if neither end moves or the step is too long', async () => {
      await store(at(0, north(10, 0)), at(1, north(10, 0)), at(2, north(10, 5)));
      await store(at(3, north(10.01, 0)), at(60, north(10.02, 5)));

      expect(await perDay(noon, noon + 2 * hourMs)).toMatchObject([{ moving: 120 }]);
      expect(await perDay(noon, noon + 2 * hourMs, ", 'UTC', '2 hours'")).toMatchObject([
        { moving: 59 * 60 },
      ]);
    });

    test('a step counts to the day it ends in, of the zone that is asked for', async () => {
      const beforeMidnight = 11 * 60 + 59;
      await store(at(beforeMidnight, north(10)), at(beforeMidnight + 2, north(10.01)));

      expect(await perDay(noon, noon + dayMs)).toMatchObject([
        { day: '2026-03-01', fixes: 1, metres: 0 },
        { day: '2026-03-02', fixes: 1, metres: 1112 },
      ]);
      expect(await perDay(noon, noon + dayMs, ", 'Europe/Vilnius'")).toMatchObject([
        { day: '2026-03-02', fixes: 2, metres: 1112 },
      ]);
    });
  });

  describe('positions.gaps', () => {
    const gaps = (fromMs: number, toMs: number, device = 1) =>
      ask(`SELECT gap_from, gap_to FROM positions.gaps($1, $2, $3, '10 minutes')`, [
        deviceId(device),
        iso(fromMs),
        iso(toMs),
      ]);
    const gap = (from: number, to: number) => ({
      gap_from: new Date(noon + from * minuteMs),
      gap_to: new Date(noon + to * minuteMs),
    });

    test('are times without any record, the edges of the window included', async () => {
      await store(at(15), at(16, noFix), at(24), at(40), at(41, {}, 2));

      expect(await gaps(noon, noon + hourMs)).toEqual([gap(0, 15), gap(24, 40), gap(40, 60)]);
    });

    test('a device that was silent throughout is one gap', async () => {
      expect(await gaps(noon, noon + hourMs, 9)).toEqual([gap(0, 60)]);
    });

    test('nothing is missed in the future', async () => {
      const now = Date.now();

      expect(await gaps(now + dayMs, now + 2 * dayMs)).toEqual([]);
    });
  });
});
