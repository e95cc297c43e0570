import { choice, column, duration, integer, secret, table, url } from './fields.ts';
import { postgresUrlFault } from './postgres-url.ts';

/** The variables of geofences and timing records. */
export const domainVariables = {
  domain: choice('DOMAIN', ['off', 'on'], {
    default: 'off',
    meaning:
      'Derive timing records from positions and the geofences of Directus. on creates a trigger on positions, off removes it; both when migrations are applied.',
  }),
  domainPostgresUrl: url('DOMAIN_POSTGRES_URL', ['postgres:', 'postgresql:'], {
    path: 'database',
    fault: postgresUrlFault,
    default: null,
    example: 'postgres://processor_domain:secret@timescaledb:5432/telemetry',
    meaning:
      'The same database as POSTGRES_URL, with the role processor_domain. Default: POSTGRES_URL.',
  }),
  domainPostgresPassword: secret('DOMAIN_POSTGRES_PASSWORD', {
    default: null,
    example: 'a-long-password',
    meaning: 'Overrides the password in DOMAIN_POSTGRES_URL, where its role has another one.',
  }),
  domainMinSatellites: integer(
    'DOMAIN_MIN_SATELLITES',
    { min: 1, max: 50 },
    {
      default: '4',
      meaning: 'A fix with fewer satellites does not count for geofences.',
    },
  ),
  domainMaxHopMs: duration(
    'DOMAIN_MAX_HOP',
    { min: '1s', max: '1h' },
    {
      default: '2m',
      meaning:
        'Two fixes farther apart than this are not interpolated: a crossing is then timed by the later one.',
    },
  ),
  domainPollMs: integer(
    'DOMAIN_POLL_MS',
    { min: 500, max: 600_000 },
    {
      default: '5000',
      meaning: 'How often to look for changed geofences and assignments.',
    },
  ),
  domainRecomputeHorizonMs: duration(
    'DOMAIN_RECOMPUTE_HORIZON',
    { min: '1h', max: '50y' },
    {
      default: '30d',
      meaning:
        'How far back timing records are computed again when a geofence or an assignment changes, and when DOMAIN is switched on.',
    },
  ),
  domainBatchDevices: integer(
    'DOMAIN_BATCH_DEVICES',
    { min: 1, max: 5000 },
    {
      default: '500',
      meaning: 'Maximum devices in one transaction of the domain.',
    },
  ),
  domainOutboxMax: integer(
    'DOMAIN_OUTBOX_MAX',
    { min: 10_000, max: 100_000_000 },
    {
      default: '1000000',
      meaning: 'Rows of positions.outbox above which they are merged to one range for each device.',
    },
  ),
  domainMaxGeofences: integer(
    'DOMAIN_MAX_GEOFENCES',
    { min: 1, max: 1_000_000 },
    {
      default: '100000',
      meaning: 'Maximum geofences; with more the domain is off until there are fewer.',
    },
  ),
  domainMaxVertices: integer(
    'DOMAIN_MAX_VERTICES',
    { min: 100, max: 50_000_000 },
    {
      default: '5000000',
      meaning:
        'Maximum vertices of all geofences together; with more the domain is off until there are fewer.',
    },
  ),
  domainTimingTable: table('DOMAIN_TIMING_TABLE', {
    default: 'public.timing_records',
    meaning: 'The table of timing records, which Directus owns.',
  }),
  domainSubjectColumn: column('DOMAIN_SUBJECT_COLUMN', {
    default: null,
    example: 'vehicle',
    meaning:
      'The column of DOMAIN_TIMING_TABLE that takes the subject of devices_v1, such as vehicle or entry. Default: none is filled.',
  }),
} as const;
