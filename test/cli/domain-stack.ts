import pg from 'pg';
import { beforeEach, expect } from 'vitest';
import {
  createDirectus,
  insertAssignment,
  insertDevice,
  insertVehicle,
} from '../../tools/domain-fixture.ts';
import { type Stack, useStack } from './stack.ts';

/** The variables of a domain that is on, with the fleet of the fixture. */
export const domainOn = { DOMAIN: 'on', DOMAIN_SUBJECT_COLUMN: 'vehicle' };

export interface DomainStack extends Stack {
  /** `processor domain <words>` with the domain on. */
  domain(...words: string[]): ReturnType<Stack['processor']>;
  /** Runs work on one connection as the owner of everything. */
  onDatabase<Result>(work: (client: pg.Client) => Promise<Result>): Promise<Result>;
  /** A device that Directus knows, assigned to a vehicle of its own. */
  addDevice(imei: string): Promise<{ readonly device: string; readonly vehicle: string }>;
}

/** Redis, a migrated database with the domain on, and the collections and contract of a fleet. */
export function useDomainStack(): DomainStack {
  const stack = useStack();

  async function onDatabase<Result>(work: (client: pg.Client) => Promise<Result>) {
    const client = new pg.Client(stack.env().POSTGRES_URL);
    await client.connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  }

  beforeEach(async () => {
    const { code, stderr } = await stack.processorWith(domainOn, 'migrate', 'up', '--yes');
    expect([code, stderr]).toEqual([0, '']);
    await onDatabase((client) => createDirectus(client, 'fleet'));
  });

  return Object.assign(Object.create(stack), {
    domain: (...words: string[]) => stack.processorWith(domainOn, 'domain', ...words),
    onDatabase,
    addDevice: (imei: string) =>
      onDatabase(async (client) => {
        const device = await insertDevice(client, imei);
        const vehicle = await insertVehicle(client, `vehicle of ${imei}`);
        await insertAssignment(client, device, vehicle, { validFrom: new Date(0) });
        return { device, vehicle };
      }),
  });
}
