import { finished } from 'node:stream/promises';
import { from as copyFrom } from 'pg-copy-streams';
import { expect, test } from 'vitest';
import { freshDatabase } from '../setup/database.ts';
import { describeEachTable } from '../setup/hypertable.ts';
import { insertOne, on, outbox, type Subject, subject } from './domain-subject.ts';
import { edition } from './policy-subject.ts';
import { dayMs, deviceId, position } from './positions.ts';

describeEachTable('the outbox', (fresh, kind) => {
  const hour = Date.UTC(2026, 2, 1, 12);
  const minuteMs = 60_000;

  async function switchedOn(): Promise<Subject> {
    const here = await subject(fresh);
    await here.configure(on);
    return here;
  }

  test('gets one row for each device and hour of a batch', async () => {
    const { client, store } = await switchedOn();
    await store([
      position({ deviceId: deviceId(1), ts: hour + minuteMs }),
      position({ deviceId: deviceId(1), ts: hour + 59 * minuteMs }),
      position({ deviceId: deviceId(1), ts: hour + 20 * minuteMs }),
      position({ deviceId: deviceId(2), ts: hour + 3 * minuteMs }),
      position({ deviceId: deviceId(1), ts: hour - 90 * dayMs }),
    ]);

    const rows = (await outbox(client)).map(({ device_id, from, to }) => ({ device_id, from, to }));
    expect(
      rows.toSorted((a, b) => a.device_id.localeCompare(b.device_id) || a.from - b.from),
    ).toEqual([
      { device_id: deviceId(1), from: hour - 90 * dayMs, to: hour - 90 * dayMs },
      { device_id: deviceId(1), from: hour + minuteMs, to: hour + 59 * minuteMs },
      { device_id: deviceId(2), from: hour + 3 * minuteMs, to: hour + 3 * minuteMs },
    ]);
  });

  test('gets nothing for records that are stored already', async () => {
    const { client, store } = await switchedOn();
    const batch = [position({ ts: hour }), position({ ts: hour + 1000 })];
    await store(batch);
    const before = await outbox(client);

    await store(batch);

    expect(await outbox(client)).toEqual(before);
  });

  test('gets only the new records of a batch that is partly stored', async () => {
    const { client, store } = await switchedOn();
    const stored = Array.from({ length: 10 }, (_, index) =>
      position({ deviceId: deviceId(index), ts: hour }),
    );
    await store(stored);
    await client.query('TRUNCATE positions.outbox');

    await store([...stored, position({ deviceId: deviceId(3), ts: hour + 1000 })]);

    expect(await outbox(client)).toMatchObject([
      { device_id: deviceId(3), from: hour + 1000, to: hour + 1000 },
    ]);
  });

  test('commits and rolls back with the records', async () => {
    const { client } = await switchedOn();
    await client.query('BEGIN');
    await client.query(insertOne, [deviceId(1), new Date(hour)]);
    expect(await outbox(client)).toHaveLength(1);
    await client.query('ROLLBACK');

    expect(await outbox(client)).toEqual([]);
  });

  if (kind === 'plain table') return;

  test('gets late records into a compressed chunk', async ({ skip }) => {
    const { client, configure, store } = await switchedOn();
    await configure(on, { columnstoreAfterMs: 3650 * dayMs });
    if ((await edition(client)) !== 'community') skip('needs the Community edition');
    await store([position({ ts: hour })]);
    await client.query(
      "SELECT public.compress_chunk(c) FROM public.show_chunks('public.positions') AS c",
    );
    await client.query('TRUNCATE positions.outbox');

    await store([position({ ts: hour }), position({ ts: hour + 5000 })]);

    expect(await outbox(client)).toMatchObject([{ from: hour + 5000, to: hour + 5000 }]);
  });
});

test('COPY reaches the outbox too', async () => {
  const { client, configure } = await subject(freshDatabase);
  await configure(on);
  const line = [deviceId(1), '2026-03-01T12:00:00Z', 0, 0, 0, 0, 0, 'f', '8', '{}'].join('\t');

  const stream = client.query(
    copyFrom(`COPY public.positions (device_id, ts, altitude, angle, speed, satellites, priority,
              fix, codec, attributes) FROM STDIN`),
  );
  stream.end(`${line}\n`);
  await finished(stream);

  expect(await outbox(client)).toMatchObject([
    { device_id: deviceId(1), from: Date.UTC(2026, 2, 1, 12) },
  ]);
});
