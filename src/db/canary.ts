import type pg from 'pg';
import type { DeviceId, Position } from '../core/types.ts';
import { type DatabaseFailure, readDatabaseFailure, toDependencyError } from './errors.ts';
import { columnNames, encodePositions, positionColumns, rowsOf } from './position-columns.ts';

/** The result of inserts that were rolled back. */
export interface Probe {
  readonly isStored: boolean;
  /** Why a previously stored row is refused now; null if no such row was tried. */
  readonly failure: DatabaseFailure | null;
  readonly error: unknown;
  readonly statements: number;
}

/**
 * Checks whether the database stores any row at present: inserts canary rows in a transaction and
 * rolls it back. Runs only after a refusal, if no row of the batch was stored.
 */
export interface Canary {
  /** Remembers a stored row; the next probe tries it first. */
  remember(row: Position): void;
  /** Keeps no row of the device. */
  forget(device: DeviceId): void;
  /** @throws DependencyError if the database is not available */
  probe(client: pg.ClientBase, refused: DeviceId): Promise<Probe>;
}

/** Number of remembered rows, each of a different device. */
const devicesKept = 3;

/** Maximum age of a stored row to copy, which bounds the number of chunks. */
const copiedFromDays = 30;

/** Sorts after every IMEI, in any collation. */
const afterAllDevices = 'z';

export function createCanary(): Canary {
  let recent: readonly Position[] = [];
  return {
    remember(row) {
      const older = recent.filter(({ deviceId }) => deviceId !== row.deviceId);
      // A text of its own: bytes would keep a whole reply of Redis in memory.
      const own = { ...row, attributes: String(row.attributes) };
      recent = [own, ...older].slice(0, devicesKept);
    },
    forget(device) {
      recent = recent.filter(({ deviceId }) => deviceId !== device);
    },
    probe: (client, refused) => probe(client, [...recent.map(again), ...copies(refused), plain]),
  };
}

interface Candidate {
  readonly text: string;
  readonly values: (Buffer | string)[];
  /** Whether it was stored before: a refusal now is then caused by the set-up. */
  readonly wasStored: boolean;
}

const insert = `INSERT INTO public.positions (${columnNames})`;
const stored = 'ON CONFLICT (device_id, ts) DO NOTHING RETURNING 1';
// A row of a device never has parts of a millisecond: the canary cannot meet one.
const thisMoment = "date_trunc('milliseconds', clock_timestamp()) + interval '1 microsecond'";

/** A stored row again, with the current time. */
function again(row: Position): Candidate {
  const columns = rowsOf(positionColumns).replace(
    'pg_catalog.unnest($2::timestamptz[]) AS ts',
    "pg_catalog.unnest($2::timestamptz[]) + interval '1 microsecond' AS ts",
  );
  return {
    text: `WITH tried AS (${insert} SELECT ${columns} ${stored})
      SELECT count(*)::int AS stored FROM tried`,
    values: encodePositions([{ ...row, ts: Date.now() }]),
    wasStored: true,
  };
}

/**
 * Copies of the newest rows of two other devices, of any instance: walks the primary key backwards,
 * from the refused device and from the last device.
 */
function copies(refused: DeviceId): Candidate[] {
  const values = positionColumns.map(({ name }) => (name === 'ts' ? thisMoment : `model.${name}`));
  const text = `WITH model AS (
      SELECT * FROM public.positions
       WHERE device_id < $1 AND device_id <> $2
         AND ts >= now() - interval '${copiedFromDays} days' AND ts < now() + interval '1 day'
       ORDER BY device_id DESC, ts DESC LIMIT 1),
    tried AS (${insert} SELECT ${values.join(', ')} FROM model ${stored})
    SELECT CASE WHEN EXISTS (SELECT FROM model) THEN (SELECT count(*) FROM tried)::int END AS stored`;
  return [refused, afterAllDevices].map((before) => ({
    text,
    values: [before, refused],
    wasStored: true,
  }));
}

/** A generated row that satisfies the service's own constraints, for a table without recent rows. */
const plain: Candidate = {
  text: `WITH tried AS (${insert}
      VALUES ('000000000000000', ${thisMoment}, 1, 1, 1, 1, 1, 9, 0, true, NULL, NULL, '8', '{}') ${stored})
    SELECT count(*)::int AS stored FROM tried`,
  values: [],
  wasStored: false,
};

async function probe(client: pg.ClientBase, candidates: readonly Candidate[]): Promise<Probe> {
  let statements = 0;
  let failure: DatabaseFailure | null = null;
  let cause: unknown;
  for (const { text, values, wasStored } of candidates) {
    statements += 4;
    try {
      if (await tryCandidate(client, text, values)) {
        return { isStored: true, failure: null, error: undefined, statements };
      }
    } catch (error) {
      const found = readDatabaseFailure(error);
      if (found.class === 'unavailable') throw toDependencyError(found, error);
      if (wasStored && failure === null) [failure, cause] = [found, error];
    }
  }
  return { isStored: false, failure, error: cause, statements };
}

/** @returns whether the row was stored, which is undone at once */
async function tryCandidate(
  client: pg.ClientBase,
  text: string,
  values: Candidate['values'],
): Promise<boolean> {
  await client.query('BEGIN');
  try {
    const { rows } = await client.query<{ stored: number | null }>(text, values);
    // What would be checked at the commit is checked here.
    await client.query('SET CONSTRAINTS ALL IMMEDIATE');
    return rows[0]?.stored === 1;
  } finally {
    await client.query('ROLLBACK');
  }
}
