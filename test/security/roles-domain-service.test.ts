import { describe, expect, test } from 'vitest';
import { fenceAt, imei, openWorld } from '../integration/domain-world.ts';
import { ask, hasPsql, needsPsql, rolesDatabase } from './roles.ts';

describe.skipIf(!hasPsql())(
  'the service with a role for each part',
  { meta: { needs: needsPsql } },
  () => {
    test('derives, supersedes and revives timing records as processor_domain alone', async () => {
      const database = await rolesDatabase();
      await database.apply();
      const { urls, roles } = database;
      const world = await openWorld({
        database,
        domainRole: roles.domain,
        env: {
          POSTGRES_URL: urls.writer,
          MIGRATION_POSTGRES_URL: urls.migrator,
          DOMAIN_POSTGRES_URL: urls.domain,
        },
      });
      const geofence = await fenceAt(world.client, 205);
      const device = await world.register(imei(1));
      const service = world.service();
      await service.untilReady();
      const drive = Array.from({ length: 60 }, (_, second) => second);
      const publish = (status: string) =>
        world.client.query(
          'UPDATE public.geofences SET status = $2, date_updated = now() WHERE id = $1',
          [geofence, status],
        );

      await world.drive(imei(1), drive.toReversed());
      await world.untilCrossings(device, ['enter 205', 'exit 305']);
      await publish('archived');
      await world.untilCrossings(device, []);
      await publish('published');
      await world.untilCrossings(device, ['enter 205', 'exit 305']);

      const users = await ask(
        database.url,
        `SELECT DISTINCT usename FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'processor:%:domain'`,
      );
      expect(users).toEqual([{ usename: roles.domain }]);
      expect(await service.metric('processor_domain_contract_ok{handler="geofences"}')).toBe(1);
      expect(service.logs.filter(({ level }) => level === 'error')).toEqual([]);
      expect(await service.end('SIGTERM')).toBe(0);
    });
  },
);
