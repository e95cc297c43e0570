import { expect, test } from 'vitest';
import type { Check } from '../../src/cli/doctor/check.ts';
import { insertGeofence } from '../../tools/domain-fixture.ts';
import { domainOn, useDomainStack } from './domain-stack.ts';

const stack = useDomainStack();

async function domainChecks(env: Readonly<Record<string, string>> = domainOn) {
  const { stdout } = await stack.processorWith(env, 'doctor', '--json');
  const checks: Check[] = JSON.parse(stdout).checks;
  return checks.filter(({ name }) => name.startsWith('domain'));
}

const contract = (state: string, message: string) => ({
  name: 'domain contract',
  state,
  message: expect.stringContaining(message),
});

test('doctor finds a domain that is on well', async () => {
  expect(await domainChecks()).toEqual([
    { name: 'domain trigger', state: 'ok', message: 'DOMAIN is on' },
    { name: 'domain contract', state: 'ok', message: 'as promised' },
  ]);
});

test('doctor says with DOMAIN=off that it is off, and asks for no contract', async () => {
  await stack.processor('migrate', 'up', '--yes');
  await stack.query('DROP SCHEMA processor_contract CASCADE');
  expect(await domainChecks({})).toEqual([
    { name: 'domain trigger', state: 'ok', message: 'DOMAIN is off' },
  ]);
});

test('doctor warns where the trigger is not as DOMAIN says', async () => {
  const [off] = await domainChecks({});
  expect(off).toMatchObject({ name: 'domain trigger', state: 'warning' });
  await stack.query('DROP TRIGGER note_outbox ON public.positions');
  const [on] = await domainChecks();
  expect(on).toMatchObject({ name: 'domain trigger', state: 'warning' });
});

test('doctor fails with a broken contract, and names the first fault', async () => {
  await stack.query('DROP VIEW processor_contract.geofences_v1');
  await stack.query('ALTER TABLE public.timing_records DROP COLUMN method');
  const found = await domainChecks();
  expect(found.slice(1)).toEqual([
    contract('failure', 'processor_contract.geofences_v1: the view is missing, and 1 more'),
  ]);
});

test('doctor warns of each missing index, with the statement, and of refused rows', async () => {
  await stack.query('DROP INDEX public.timing_records_live_device');
  await stack.query('DROP INDEX public.timing_records_live_geofence');
  await stack.onDatabase((client) =>
    insertGeofence(client, { shape: { type: 'Point', coordinates: [25, 54] } }),
  );
  const found = await domainChecks();
  expect(found.slice(1)).toEqual([
    contract('warning', 'CREATE INDEX'),
    contract('warning', 'CREATE INDEX'),
    contract('warning', '1 row is refused'),
  ]);
});

test('doctor fails where the login of the domain is refused', async () => {
  const url = new URL(stack.env().POSTGRES_URL ?? '');
  url.username = 'nobody_of_this_server';
  const found = await domainChecks({ ...domainOn, DOMAIN_POSTGRES_URL: url.href });
  expect(found).toMatchObject([{ name: 'domain', state: 'failure' }]);
});
