import { currentRows, type Kind, noIgnoredRows } from './domain-views.ts';

/** What is read for one kind of rows. */
export interface Source {
  readonly kind: Kind;
  /** As faults name it. */
  readonly view: string;
  /** A query of `key, hash, from_ts, to_ts, imei, scope`. */
  readonly current: string;
}

/** Assignments come first: changed geofences look up whom they reach in what is seen by then. */
export function sourcesOf(hasIgnored: boolean): readonly Source[] {
  const schema = 'processor_contract';
  return [
    { kind: 'assignment', view: `${schema}.devices_v1`, current: currentRows.assignment },
    { kind: 'geofence', view: `${schema}.geofences_v1`, current: currentRows.geofence },
    {
      kind: 'ignored',
      view: `${schema}.ignored_v1`,
      current: hasIgnored ? currentRows.ignored : noIgnoredRows,
    },
  ];
}

/** Rows that are not as they were seen: new, gone, or other content. `old_` and `new_` are null there. */
function differences({ kind, current }: Source): string {
  return `
    current AS MATERIALIZED (${current}),
    seen AS (SELECT * FROM positions.domain_seen WHERE kind = '${kind}' AND hash <> ''::bytea),
    difference AS MATERIALIZED (
      SELECT coalesce(c.key, s.key) AS key, coalesce(c.imei, s.imei) AS imei, c.hash, c.from_ts, c.to_ts,
             c.key IS NOT NULL AS is_present, s.key IS NOT NULL AS was_present,
             c.scope AS new_scope, s.scope AS old_scope,
             CASE WHEN c.from_ts < c.to_ts THEN c.from_ts END AS new_from,
             CASE WHEN c.from_ts < c.to_ts THEN c.to_ts END AS new_to,
             CASE WHEN s.from_ts < s.to_ts THEN s.from_ts END AS old_from,
             CASE WHEN s.from_ts < s.to_ts THEN s.to_ts END AS old_to,
             c.hash = s.hash AND c.scope IS NOT DISTINCT FROM s.scope AS is_same
        FROM current AS c FULL JOIN seen AS s ON s.key = c.key
       WHERE (c.hash, c.scope, c.from_ts, c.to_ts)
             IS DISTINCT FROM (s.hash, s.scope, s.from_ts, s.to_ts))`;
}

/**
 * The times to look at again. Where nothing but one end of the validity moved, it is what the end moved
 * over: an archived geofence or an ended assignment leaves the time before as it was. Both ends of the
 * range are included, and the first fix after it is read too, so exits at the end of a validity are.
 */
const affectedTimes = `
    affected AS MATERIALIZED (
      SELECT *,
             CASE WHEN is_same AND old_from = new_from THEN least(old_to, new_to)
                  ELSE least(old_from, new_from) END AS change_from,
             CASE WHEN is_same AND old_to = new_to THEN greatest(old_from, new_from)
                  ELSE greatest(old_to, new_to) END AS change_to
        FROM difference)`;

const reachedByImei = `
    reached AS (
      SELECT imei, change_from, change_to FROM affected)`;

const heldAssignment = "a.kind = 'assignment' AND a.hash <> ''::bytea";

/**
 * Devices of the scopes that a geofence has and had. Times are joined by scope before devices are, so
 * the cost is devices plus geofences, not their product. Assignments that changed bring their own times.
 */
const reachedByScope = `
    scopes AS MATERIALIZED (
      SELECT held.scope, min(change_from) AS change_from, max(change_to) AS change_to
        FROM affected, LATERAL (VALUES (old_scope, was_present), (new_scope, is_present))
                         AS held (scope, is_held)
       WHERE held.is_held GROUP BY held.scope),
    reached AS (
      SELECT a.imei, greatest(a.from_ts, s.change_from) AS change_from,
             least(a.to_ts, s.change_to) AS change_to
        FROM scopes AS s JOIN positions.domain_seen AS a ON ${heldAssignment} AND a.scope = s.scope
      UNION ALL
      SELECT a.imei, greatest(a.from_ts, s.change_from), least(a.to_ts, s.change_to)
        FROM scopes AS s JOIN positions.domain_seen AS a ON ${heldAssignment}
       WHERE s.scope IS NULL)`;

/** Its key stays known until everything that was enqueued of it is older than the horizon. */
const keepFormer = `
      UPDATE positions.domain_seen AS s SET hash = '', from_ts = $2, to_ts = $2, scope = NULL
        FROM difference AS d WHERE s.kind = 'assignment' AND s.key = d.key AND NOT d.is_present`;

const remove = (kind: Kind): string => `
      DELETE FROM positions.domain_seen AS s USING difference AS d
       WHERE s.kind = '${kind}' AND s.key = d.key AND NOT d.is_present`;

/** Forgets former keys after the horizon. $1: the earliest time to enqueue. */
export const forgetFormer = `
  DELETE FROM positions.domain_seen WHERE kind = 'assignment' AND hash = ''::bytea AND to_ts < $1`;

/**
 * One statement that compares one kind of rows with `domain_seen`, enqueues the affected times and
 * stores what it compared. $1: the earliest time to enqueue; $2, of assignments only: now.
 */
export function applyStatement(source: Source): string {
  const { kind } = source;
  return `
    WITH ${differences(source)}, ${affectedTimes},
    ${kind === 'geofence' ? reachedByScope : reachedByImei},
    enqueued AS (
      INSERT INTO positions.outbox (device_id, from_ts, to_ts)
      SELECT imei, greatest(min(change_from), $1::timestamptz), max(change_to) FROM reached
       WHERE change_from <= change_to AND change_to >= $1::timestamptz
       GROUP BY imei RETURNING 1),
    stored AS (
      INSERT INTO positions.domain_seen (kind, key, hash, from_ts, to_ts, imei, scope)
      SELECT '${kind}', key, hash, from_ts, to_ts, imei, new_scope FROM difference WHERE is_present
      ON CONFLICT (kind, key) DO UPDATE
         SET hash = excluded.hash, from_ts = excluded.from_ts, to_ts = excluded.to_ts,
             imei = excluded.imei, scope = excluded.scope),
    removed AS (${kind === 'assignment' ? keepFormer : remove(kind)})
    SELECT (SELECT count(*) FROM difference)::int AS changed, (SELECT count(*) FROM enqueued)::int AS enqueued`;
}

/** Counts the rows that are not as they were seen. */
export function differenceStatement(source: Source): string {
  return `WITH ${differences(source)} SELECT count(*)::int AS changed FROM difference`;
}
