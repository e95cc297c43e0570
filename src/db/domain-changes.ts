import type pg from 'pg';
import { ContractBrokenError } from '../domain/contract.ts';
import { tooManyGeofences } from '../domain/contract-limits.ts';
import {
  applyStatement,
  differenceStatement,
  forgetFormer,
  type Source,
  sourcesOf,
} from './domain-change-sql.ts';
import { readingViews } from './domain-read-fault.ts';
import { fingerprints } from './domain-views.ts';
import { asDependencyError } from './errors.ts';
import { oneRow } from './one-row.ts';

export interface ChangeOptions {
  /** The view may have no more rows. */
  readonly maxGeofences: number;
  /** Times longer ago than this are not enqueued. */
  readonly recomputeHorizonMs: number;
}

export interface Changes {
  /** Rows of the views that are not as they were seen. */
  readonly changed: number;
  /** Rows added to the outbox. */
  readonly enqueued: number;
  /** `positions.domain_version` afterwards. */
  readonly version: number;
  /** Another instance compares at the moment; nothing was done here. */
  readonly isBusy: boolean;
}

/** Advisory lock of one comparison, on any host; a second one does not wait for it. */
const changesLock = [0x70726f63, 3] as const;

/**
 * Compares the whole content of the views with what evaluation last knew, enqueues the times whose
 * timing records may differ, stores the new state and raises the version: one transaction, under one
 * advisory lock. An instance with an older version reloads before it works on such a range.
 *
 * Cost and memory of the client do not grow with the views: the comparison runs in the server.
 * @throws ContractBrokenError if a view cannot be read or has too many rows; DependencyError if the
 * database is not available
 */
export async function enqueueChanges(
  client: pg.ClientBase,
  options: ChangeOptions,
  now: Date,
): Promise<Changes> {
  try {
    await client.query('BEGIN ISOLATION LEVEL READ COMMITTED');
    const changes = await compare(client, options, now);
    await client.query('COMMIT');
    return changes;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => {});
    if (error instanceof ContractBrokenError) throw error;
    throw asDependencyError(error);
  }
}

async function compare(
  client: pg.ClientBase,
  { maxGeofences, recomputeHorizonMs }: ChangeOptions,
  now: Date,
): Promise<Changes> {
  const { rows } = await client.query<{ got: boolean }>(
    'SELECT pg_try_advisory_xact_lock($1, $2) AS got',
    [...changesLock],
  );
  const idle = { changed: 0, enqueued: 0 };
  if (!oneRow(rows).got) return { ...idle, version: await readVersion(client), isBusy: true };
  await refuseTooMany(client, maxGeofences);
  const earliest = new Date(now.getTime() - recomputeHorizonMs);
  const total = { ...idle };
  for (const source of sourcesOf(await hasIgnoredView(client))) {
    const { changed, enqueued } = await apply(client, source, earliest, now);
    total.changed += changed;
    total.enqueued += enqueued;
  }
  if (total.changed > 0) await client.query(forgetFormer, [earliest]);
  const version = total.changed === 0 ? await readVersion(client) : await raiseVersion(client);
  return { ...total, version, isBusy: false };
}

async function apply(client: pg.ClientBase, source: Source, earliest: Date, now: Date) {
  await client.query('SAVEPOINT comparing');
  try {
    const { rows } = await client.query<{ changed: number; enqueued: number }>(
      applyStatement(source),
      source.kind === 'assignment' ? [earliest, now] : [earliest],
    );
    return oneRow(rows);
  } catch (error) {
    await client.query('ROLLBACK TO SAVEPOINT comparing');
    // Evidence of whose fault it is: the same without anything that writes.
    await readingViews(source.view, () => client.query(differenceStatement(source)));
    throw error;
  }
}

/** Whether content of the views differs from what evaluation last knew, in this transaction's snapshot. */
export async function countDifferences(client: pg.ClientBase): Promise<number> {
  let changed = 0;
  for (const source of sourcesOf(await hasIgnoredView(client))) {
    const { rows } = await readingViews(source.view, () =>
      client.query<{ changed: number }>(differenceStatement(source)),
    );
    changed += oneRow(rows).changed;
  }
  return changed;
}

async function refuseTooMany(client: pg.ClientBase, limit: number): Promise<void> {
  const view = 'processor_contract.geofences_v1';
  const { rows } = await readingViews(view, () =>
    client.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM (SELECT FROM ${view} LIMIT $1::int + 1) AS counted`,
      [limit],
    ),
  );
  if (oneRow(rows).count > limit) throw tooManyGeofences(limit);
}

export async function hasIgnoredView(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ exists: boolean }>(
    `SELECT pg_catalog.to_regclass('processor_contract.ignored_v1') IS NOT NULL AS exists`,
  );
  return oneRow(rows).exists;
}

export async function readVersion(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ version: number }>(
    'SELECT version::float8 AS version FROM positions.domain_version',
  );
  return oneRow(rows).version;
}

async function raiseVersion(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ version: number }>(
    'UPDATE positions.domain_version SET version = version + 1 RETURNING version::float8 AS version',
  );
  return oneRow(rows).version;
}

/**
 * A text that differs when a row of the views was added, removed or edited: what is polled. An edit of
 * a shape alone that leaves changed_at as it was (by SQL) is found by the next `enqueueChanges` only.
 * @throws ContractBrokenError if a view cannot be read
 */
export async function readFingerprint(client: pg.ClientBase): Promise<string> {
  try {
    const parts: string[] = [];
    const hasIgnored = await hasIgnoredView(client);
    for (const [view, expression] of Object.entries(fingerprints)) {
      if (view === 'ignored_v1' && !hasIgnored) continue;
      const { rows } = await readingViews(`processor_contract.${view}`, () =>
        client.query<{ fingerprint: string }>(`SELECT ${expression} AS fingerprint`),
      );
      parts.push(oneRow(rows).fingerprint);
    }
    return parts.join(' ');
  } catch (error) {
    if (error instanceof ContractBrokenError) throw error;
    throw asDependencyError(error);
  }
}
