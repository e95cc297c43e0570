import { expect, test } from 'vitest';
import { eventually } from '../../tools/service.ts';
import { driveFrom, insertCircle, insertFixes } from './domain-drive.ts';
import { domainOn, useDomainStack } from './domain-stack.ts';
import { imei } from './stack.ts';

const stack = useDomainStack();
const device = imei(1);
const hour = 3_600_000;
const start = Math.floor(Date.now() / hour) * hour - 2 * hour;

const verify = () => stack.domain('verify', '--device', device, '--json');
const live = () =>
  stack.query<{ direction: string }>(
    'SELECT direction FROM public.timing_records WHERE superseded_at IS NULL ORDER BY at',
  );
const count = (table: string) => stack.query(`SELECT FROM ${table}`).then(({ length }) => length);
const settled = () =>
  eventually('the outbox is empty', async () =>
    (await count('positions.outbox')) === 0 ? true : undefined,
  );

test('the commands agree with a running service about a drive, its repair, an edit and a pause', async () => {
  await stack.addDevice(device);
  await stack.onDatabase(insertCircle);
  const service = stack.service('one', { ...domainOn, DOMAIN_POLL_MS: '500' });
  await service.untilReady();
  await stack.onDatabase((client) => insertFixes(client, device, driveFrom(start)));
  await eventually('both crossings are stored', async () =>
    (await live()).length === 2 ? true : undefined,
  );
  await settled();
  const first = await verify();
  expect([first.code, JSON.parse(first.stdout)]).toMatchObject([0, { unchanged: 2, fixes: 21 }]);

  // As a person would do by SQL: the foreign keys and the contract do not prevent it.
  await stack.query(`DELETE FROM public.timing_records WHERE direction = 'exit'`);
  const broken = await verify();
  expect([broken.code, JSON.parse(broken.stdout)]).toMatchObject([4, { missing: 1, extra: 0 }]);
  await stack.domain('recompute', '--device', device, '--from', '3h', '--yes');
  await eventually('the exit is stored again', async () =>
    (await live()).length === 2 ? true : undefined,
  );
  await settled();
  expect((await verify()).code).toBe(0);

  await stack.query('UPDATE public.geofences SET radius_m = 300, date_updated = now()');
  await eventually('the old crossings are superseded', async () =>
    (await count('public.timing_records WHERE superseded_at IS NOT NULL')) === 2 ? true : undefined,
  );
  await settled();
  const edited = await verify();
  expect([edited.code, JSON.parse(edited.stdout)]).toMatchObject([0, { unchanged: 2 }]);

  await stack.domain('pause', '--reason', 'the test', '--yes');
  await eventually('the service shows the pause', async () => {
    const series = 'processor_domain_paused{handler="geofences"}';
    return (await service.metric(series)) === 1 ? true : undefined;
  });
  const later = driveFrom(start + hour);
  await stack.onDatabase((client) => insertFixes(client, device, later));
  const paused = await stack.domain('status', '--json');
  expect([paused.code, JSON.parse(paused.stdout)]).toMatchObject([3, { outbox: { devices: 1 } }]);
  const waiting = await verify();
  expect([waiting.code, JSON.parse(waiting.stdout)]).toMatchObject([3, { waiting: 1 }]);
  await stack.domain('resume', '--yes');
  await settled();
  const last = await verify();
  expect([last.code, JSON.parse(last.stdout)]).toMatchObject([0, { unchanged: 4, fixes: 42 }]);
  expect((await stack.domain('status')).code).toBe(0);
});
