/** Promised columns change while the service runs: the domain is off and names them, nothing else. */
import { expect, test } from 'vitest';
import { contractViews } from '../../src/db/domain-views.ts';
import { eventually, type RunningService } from '../../tools/service.ts';
import { fenceAt, imei, openWorld } from '../integration/domain-world.ts';
import { isFull, report, testLimitMs } from './mode.ts';

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
/** Tried one by one where not all are; the table is checked every 30 s, which the full form waits for. */
const some = ['devices_v1.imei'];
const places = isFull ? all : all.filter(({ object }) => some.some((end) => object.endsWith(end)));

interface Change {
  readonly name: string;
  readonly make: string;
  readonly undo: string;
}

/** The view is kept under another name, with this one on top of it. */
function viewChange(view: string, select: string): Omit<Change, 'name'> {
  const kept = `${view}_kept`;
  return {
    make: `ALTER VIEW processor_contract.${view} RENAME TO ${kept};
      CREATE VIEW processor_contract.${view} AS SELECT ${select} FROM processor_contract.${kept}`,
    undo: `DROP VIEW processor_contract.${view};
      ALTER VIEW processor_contract.${kept} RENAME TO ${view}`,
  };
}

function viewChanges(selectOf: (column: string) => string): Omit<Change, 'name'>[] {
  return contractViews.map(({ name, columns }) =>
    viewChange(name, columns.map((column) => selectOf(column.name)).join(', ')),
  );
}

function tableChanges(changeOf: (column: string) => Omit<Change, 'name'>): Omit<Change, 'name'>[] {
  return timingColumns.map(changeOf);
}

const table = 'ALTER TABLE public.timing_records';
const renamed = (column: string) => ({
  make: `${table} RENAME COLUMN ${column} TO ${column}_kept`,
  undo: `${table} RENAME COLUMN ${column}_kept TO ${column}`,
});
const retyped = (column: string) => ({
  make: `${renamed(column).make}; ${table} ADD COLUMN ${column} point`,
  undo: `${table} DROP COLUMN ${column}; ${renamed(column).undo}`,
});

function together(name: string, changes: readonly Omit<Change, 'name'>[]): Change {
  const join = (parts: readonly string[]) => parts.join(';\n');
  return {
    name,
    make: join(changes.map(({ make }) => make)),
    undo: join(changes.map(({ undo }) => undo)),
  };
}

/** Dropping a column of the table looks like renaming it, and would lose its values here. */
const changes = [
  together('renamed', [
    ...viewChanges((column) => `${column} AS ${column}_renamed`),
    ...tableChanges(renamed),
  ]),
  together('retyped', [
    ...viewChanges((column) => `NULL::point AS ${column}`),
    ...tableChanges(retyped),
  ]),
  together('dropped from the views', viewChanges(() => '1 AS other').map(once)),
];

/** A view needs at least one column, and no two of one name. */
function once({ make, undo }: Omit<Change, 'name'>): Omit<Change, 'name'> {
  return { make: make.replace(/(1 AS other)(, 1 AS other)*/, '$1'), undo };
}

test.each(changes)(
  'all promised columns $name at once: each is named, records are stored, and put back they work',
  async ({ name, make, undo }) => {
    const world = await openWorld();
    await fenceAt(world.client, 205);
    const device = await world.register(imei(1));
    const one = world.service();
    await one.untilReady();
    await eventually('the contract is loaded', () =>
      one.logs.find(({ msg }) => msg === 'geofences and assignments loaded'),
    );
    const wanted = name.includes('views') ? ofViews : all;
    const since = one.logs.length;
    await world.client.query(make);
    await eventually('each column is named', () => {
      const named = new Set(faultsOf(one, since));
      return wanted.every(({ object }) => named.has(object)) ? true : undefined;
    });
    await world.drive(
      imei(1),
      Array.from({ length: 60 }, (_, second) => second),
    );
    await eventually('every record is stored', async () =>
      (await world.positions()) === 60 ? true : undefined,
    );
    expect(await one.health('ready')).toBe(200);
    await world.client.query(undo);
    const undone = performance.now();
    await world.untilCrossings(device, ['enter 205', 'exit 305']);
    report('contract put back', { change: name, ms: Math.round(performance.now() - undone) });
    expect(await one.end('SIGTERM')).toBe(0);
  },
  testLimitMs,
);

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
