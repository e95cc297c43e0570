import type pg from 'pg';
import { intervalText } from './timescale.ts';

/** Whether timing records are derived, as configured by DOMAIN. */
export interface DomainSwitch {
  readonly enabled: boolean;
  /** How far back everything is derived when the domain is switched on. */
  readonly recomputeHorizonMs: number;
}

const createTrigger = `CREATE TRIGGER note_outbox AFTER INSERT ON public.positions
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION positions.note_outbox()`;

/**
 * Creates the trigger that fills the outbox, or drops it. Checks first: if nothing differs, it takes
 * no lock. When it creates the trigger, it enqueues what is stored of every device within the
 * horizon; the lock of the trigger makes every later row fire it, so no row is missed. To be called
 * in a transaction, under the migration lock.
 */
export async function applyDomainTrigger(
  client: pg.ClientBase,
  { enabled, recomputeHorizonMs }: DomainSwitch,
): Promise<void> {
  if ((await hasDomainTrigger(client)) === enabled) return;
  // Also one that is disabled or of another function, when it is to be created.
  await client.query('DROP TRIGGER IF EXISTS note_outbox ON public.positions');
  if (!enabled) return;
  await client.query(createTrigger);
  await client.query(
    `INSERT INTO positions.outbox (device_id, from_ts, to_ts)
     SELECT d.device_id, now() - $1::interval, 'infinity' FROM positions.devices AS d
      WHERE d.newest_day > now() - $1::interval - INTERVAL '24 hours'`,
    [intervalText(recomputeHorizonMs)],
  );
}

/** What is kept for a domain that runs. The version stays: it only rises. */
const tables = ['positions.outbox', 'positions.outbox_parked', 'positions.domain_seen'] as const;

/**
 * Empties the bookkeeping while the domain is off. In a later transaction than the drop of the
 * trigger: with both in one, a worker of another instance that holds outbox rows and waits for
 * positions would deadlock with it.
 */
export async function emptyDomain(client: pg.ClientBase, { enabled }: DomainSwitch): Promise<void> {
  if (enabled) return;
  for (const table of tables) {
    if (await holdsRows(client, table)) await client.query(`TRUNCATE ${table}`);
  }
}

/** False also for a table that a later migration adds. */
async function holdsRows(client: pg.ClientBase, table: string): Promise<boolean> {
  const found = await client.query<{ there: boolean }>(
    'SELECT to_regclass($1) IS NOT NULL AS there',
    [table],
  );
  if (found.rows[0]?.there !== true) return false;
  const { rowCount } = await client.query(`SELECT FROM ${table} LIMIT 1`);
  return rowCount === 1;
}

/** Whether inserted rows reach the outbox; changes nothing. */
export async function hasDomainTrigger(client: pg.ClientBase): Promise<boolean> {
  const { rowCount } = await client.query(
    `SELECT FROM pg_catalog.pg_trigger
      WHERE tgrelid = pg_catalog.to_regclass('public.positions') AND tgname = 'note_outbox'
        AND tgfoid = pg_catalog.to_regproc('positions.note_outbox')::oid
        AND tgenabled IN ('O', 'A')`,
  );
  return rowCount === 1;
}
