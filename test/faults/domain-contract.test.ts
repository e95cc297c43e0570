/** Each promised column is renamed while the service runs: the domain is off and named, nothing else. */
import { expect, test } from 'vitest';
import { contractViews } from '../../src/db/domain-views.ts';
import { eventually, type RunningService } from '../../tools/service.ts';
import { fenceAt, imei, openWorld } from '../integration/domain-world.ts';
import { isFull, testLimitMs } from './mode.ts';

interface Place {
  /** As faults name it. */
  readonly object: string;
  readonly relation: string;
  readonly column: string;
}

const ofViews = contractViews.flatMap(({ name, columns }) =>
  columns.map(({ name: column }): Place => {
    const relation = `processor_contract.${name}`;
    return { object: `${relation}.${column}`, relation: `VIEW ${relation}`, column };
  }),
);
const timingColumns = [
  'id',
  'device',
  'geofence',
  'direction',
  'at',
  'before_ts',
  'after_ts',
  'method',
  'source',
  'superseded_at',
  'vehicle',
];
const ofTable = timingColumns.map((column): Place => {
  const relation = 'public.timing_records';
  return { object: `${relation}.${column}`, relation: `TABLE ${relation}`, column };
});
const all = [...ofViews, ...ofTable];
/** One of each relation, where not all are tried. */
const some = ['geofences_v1.shape', 'devices_v1.imei', 'ignored_v1.to_ts', 'records.after_ts'];
const places = isFull ? all : all.filter(({ object }) => some.some((end) => object.endsWith(end)));

function faultsOf({ logs }: RunningService, since: number): readonly string[] {
  return logs
    .slice(since)
    .filter(({ msg }) => msg === 'the contract with Directus is broken; the domain is off')
    .flatMap(({ faults }) => (Array.isArray(faults) ? faults.map(({ object }) => object) : []));
}

test(
  'a renamed column of the contract turns the domain off by name, and it catches up by itself',
  async () => {
    const world = await openWorld();
    await fenceAt(world.client, 205);
    const one = world.service();
    await one.untilReady();
    for (const [index, { object, relation, column }] of places.entries()) {
      const device = await world.register(imei(index + 1));
      const since = one.logs.length;
      await world.client.query(`ALTER ${relation} RENAME COLUMN ${column} TO renamed`);
      await eventually(`${object} is named`, () =>
        faultsOf(one, since).includes(object) ? true : undefined,
      );
      const seconds = Array.from({ length: 60 }, (_, second) => second);
      await world.drive(imei(index + 1), seconds);
      await eventually('every record is stored', async () =>
        (await world.positions()) === 60 * (index + 1) ? true : undefined,
      );
      expect(await one.health('ready')).toBe(200);
      expect(await one.metric('processor_domain_contract_ok{handler="geofences"}')).toBe(0);
      await world.client.query(`ALTER ${relation} RENAME COLUMN renamed TO ${column}`);
      await world.untilCrossings(device, ['enter 205', 'exit 305']);
    }
    expect(await one.end('SIGTERM')).toBe(0);
  },
  testLimitMs,
);
