/** The views that the owner of the Directus side promises, in the schema `processor_contract`. */

export interface PromisedColumn {
  readonly name: string;
  /** Accepted types, without length; the first is the one that is promised. */
  readonly types: readonly [string, ...string[]];
}

export interface PromisedView {
  readonly name: string;
  readonly isOptional: boolean;
  readonly columns: readonly PromisedColumn[];
}

const text = (name: string): PromisedColumn => ({ name, types: ['text', 'character varying'] });
/** Never a timestamp without time zone, which Directus makes of its type dateTime. */
const time = (name: string): PromisedColumn => ({ name, types: ['timestamp with time zone'] });
const metres = (name: string): PromisedColumn => ({
  name,
  types: ['double precision', 'real', 'numeric', 'integer'],
});

export const contractViews: readonly PromisedView[] = [
  {
    name: 'geofences_v1',
    isOptional: false,
    columns: [
      text('geofence'),
      text('scope'),
      { name: 'shape', types: ['json', 'jsonb'] },
      metres('radius_m'),
      metres('margin_m'),
      time('valid_from'),
      time('valid_to'),
      time('changed_at'),
    ],
  },
  {
    name: 'devices_v1',
    isOptional: false,
    columns: [
      text('imei'),
      text('device'),
      text('subject'),
      text('scope'),
      time('valid_from'),
      time('valid_to'),
      time('changed_at'),
    ],
  },
  {
    name: 'ignored_v1',
    isOptional: true,
    columns: [text('imei'), time('from_ts'), time('to_ts'), time('changed_at')],
  },
];

const earliest = "'-infinity'::timestamptz";
const latest = "'infinity'::timestamptz";

/** A validity in epoch milliseconds: rounded up, which keeps every whole millisecond on its side. */
function validityMs(from: string, to: string): string {
  return `ceil(extract(epoch FROM coalesce(${from}, ${earliest})) * 1000)::float8 AS "from",
          ceil(extract(epoch FROM coalesce(${to}, ${latest})) * 1000)::float8 AS "to"`;
}

/** Bytes of one shape's GeoJSON; about 25,000 vertices. Bounds the memory of a page of rows. */
const MAX_SHAPE_BYTES = 1_000_000;

/** Rows as `contractBuilder` takes them. */
export const contractRows = {
  geofences_v1: `
    SELECT geofence::text, scope::text, radius_m::float8 AS "radiusM", margin_m::float8 AS "marginM",
           ${validityMs('valid_from', 'valid_to')},
           coalesce(octet_length(shape::text) > ${MAX_SHAPE_BYTES}, false) AS "isShapeTooLarge",
           CASE WHEN octet_length(shape::text) <= ${MAX_SHAPE_BYTES} THEN shape::text END AS shape
      FROM processor_contract.geofences_v1`,
  devices_v1: `
    SELECT imei::text, device::text, subject::text, scope::text,
           ${validityMs('valid_from', 'valid_to')}
      FROM processor_contract.devices_v1`,
  ignored_v1: `
    SELECT imei::text, ${validityMs('from_ts', 'to_ts')}
      FROM processor_contract.ignored_v1`,
} as const;

/** Values of `positions.domain_seen.kind`. */
export type Kind = 'geofence' | 'assignment' | 'ignored';

/** SHA-256, because md5() is refused where OpenSSL runs in FIPS mode. */
const hashed = (words: string): string => `sha256(convert_to(${words}, 'UTF8'))`;
const seconds = (time: string): string => `extract(epoch FROM ${time})`;

/**
 * Current rows of the views as `domain_seen` holds them. Several rows of one key become one: which
 * rows they are and how far they reach decides, not their order.
 */
export const currentRows: Readonly<Record<Kind, string>> = {
  // The shape comes last: nothing before it contains a slash, so no two rows give the same text.
  geofence: `
    SELECT key, string_agg(hash, ''::bytea ORDER BY hash) AS hash, min(from_ts) AS from_ts,
           max(to_ts) AS to_ts, NULL::text AS imei, min(scope) AS scope
      FROM (SELECT geofence::text AS key,
                   coalesce(valid_from, ${earliest}) AS from_ts, coalesce(valid_to, ${latest}) AS to_ts,
                   scope::text AS scope,
                   ${hashed(`concat_ws('/', coalesce((radius_m::float8)::text, ''),
                             coalesce((margin_m::float8)::text, ''), shape::text)`)} AS hash
              FROM processor_contract.geofences_v1 WHERE geofence IS NOT NULL) AS geofences
     GROUP BY key`,
  // The end is no part of the key: an assignment that ends is not another assignment. The device is,
  // because it is still needed after the row is gone.
  assignment: `
    SELECT encode(hash, 'hex') || ':' || device AS key, hash, from_ts, max(to_ts) AS to_ts, imei, scope
      FROM (SELECT imei::text AS imei, device::text AS device, scope::text AS scope,
                   coalesce(valid_from, ${earliest}) AS from_ts, coalesce(valid_to, ${latest}) AS to_ts,
                   ${hashed(`ROW(imei::text, device::text, subject::text, scope::text,
                             ${seconds('valid_from')})::text`)} AS hash
              FROM processor_contract.devices_v1
             WHERE imei IS NOT NULL AND device IS NOT NULL) AS assignments
     GROUP BY hash, from_ts, imei, device, scope`,
  ignored: `
    SELECT DISTINCT encode(hash, 'hex') AS key, hash, from_ts, to_ts, imei, NULL::text AS scope
      FROM (SELECT imei::text AS imei,
                   coalesce(from_ts, ${earliest}) AS from_ts, coalesce(to_ts, ${latest}) AS to_ts,
                   ${hashed(`ROW(imei::text, ${seconds('from_ts')}, ${seconds('to_ts')})::text`)} AS hash
              FROM processor_contract.ignored_v1 WHERE imei IS NOT NULL) AS ranges`,
};

/** Where the optional view `ignored_v1` is missing. */
export const noIgnoredRows = `
  SELECT NULL::text AS key, NULL::bytea AS hash, NULL::timestamptz AS from_ts,
         NULL::timestamptz AS to_ts, NULL::text AS imei, NULL::text AS scope WHERE false`;

/**
 * Keys of devices whose assignments were removed: \`applyStatement\` keeps them for the horizon with an
 * empty hash. Timing records under them are superseded by the next evaluation of their IMEI.
 */
export const formerDevices = `
  SELECT imei, substr(key, strpos(key, ':') + 1) AS device
    FROM positions.domain_seen WHERE kind = 'assignment' AND hash = ''::bytea
   ORDER BY to_ts DESC LIMIT 1000000`;

/**
 * A fingerprint of each view that costs no more than reading its short columns: rows, and a sum of
 * hashes, which finds also an edit that was committed after a later one. An edit of nothing but the
 * shape that leaves changed_at as it was is not seen.
 */
const fingerprint = (columns: string, view: string): string =>
  `(SELECT count(*) || ':' || coalesce(sum(hash_record_extended(ROW(${columns}), 0)), 0)
      FROM processor_contract.${view})`;

export const fingerprints = {
  geofences_v1: fingerprint(
    'geofence, scope, radius_m, margin_m, valid_from, valid_to, changed_at',
    'geofences_v1',
  ),
  devices_v1: fingerprint(
    'imei, device, subject, scope, valid_from, valid_to, changed_at',
    'devices_v1',
  ),
  ignored_v1: fingerprint('imei, from_ts, to_ts, changed_at', 'ignored_v1'),
} as const;
