import { maxShards } from '../stream/shards.ts';
import { domainVariables } from './domain-variables.ts';
import {
  addressMap,
  choice,
  duration,
  durationOrOff,
  flag,
  host,
  integer,
  path,
  ranges,
  secret,
  url,
  word,
} from './fields.ts';
import { postgresUrlFault } from './postgres-url.ts';
import { redisSchemes, redisUrlFault, redisUrlShape } from './redis-url.ts';

const minute = 60_000;

/** Every variable the service reads, with its default, bounds and meaning. */
export const variables = {
  redisUrl: url('REDIS_URL', redisSchemes, {
    path: '<database number>',
    shape: redisUrlShape,
    fault: redisUrlFault,
    default: 'redis://127.0.0.1:6379',
    example: 'redis://processor:secret@redis:6379',
    meaning:
      'The Redis with the telemetry stream: one server, the primary that the sentinels of redis+sentinel:// name, or a Redis Cluster; rediss for TLS. Default database: 0.',
  }),
  redisPassword: secret('REDIS_PASSWORD', {
    default: null,
    example: 'a-long-password',
    meaning: 'Overrides the password in REDIS_URL, which is that of the servers with the stream.',
  }),
  redisSentinelUser: word('REDIS_SENTINEL_USER', {
    default: null,
    example: 'processor',
    meaning:
      'User name at the sentinels, if they have an ACL; with REDIS_SENTINEL_PASSWORD. Default: the default user.',
  }),
  redisSentinelPassword: secret('REDIS_SENTINEL_PASSWORD', {
    default: null,
    example: 'a-long-password',
    meaning: 'Password of the sentinels themselves, if they ask for one.',
  }),
  redisNatMap: addressMap('REDIS_NAT_MAP', {
    default: null,
    example: '10.0.0.1:6379=redis-1.example:6379,10.0.0.2:6379=redis-2.example:6379',
    meaning:
      'Addresses that sentinels or nodes of a cluster announce, and where this machine reaches each.',
  }),
  redisCaFile: path('REDIS_CA_FILE', {
    default: null,
    example: '/run/secrets/redis_ca.pem',
    meaning:
      'CA certificates (PEM) for the Redis server; only with rediss://. Default: the CAs of Node.js.',
  }),
  redisCertFile: path('REDIS_CERT_FILE', {
    default: null,
    example: '/run/secrets/redis_client.pem',
    meaning: 'Client certificate (PEM), if Redis requires one; with REDIS_KEY_FILE.',
  }),
  redisKeyFile: path('REDIS_KEY_FILE', {
    default: null,
    example: '/run/secrets/redis_client.key',
    meaning: 'The private key (PEM, not encrypted) of REDIS_CERT_FILE.',
  }),
  redisConnectTimeoutMs: integer(
    'REDIS_CONNECT_TIMEOUT_MS',
    { min: 100, max: minute },
    {
      default: '5000',
      meaning: 'How long one attempt to connect to Redis may take.',
    },
  ),
  redisCommandTimeoutMs: integer(
    'REDIS_COMMAND_TIMEOUT_MS',
    { min: 100, max: minute },
    {
      default: '5000',
      meaning: 'How long to wait for a reply of Redis, in addition to the block time of a read.',
    },
  ),
  streamKey: word('REDIS_TELEMETRY_STREAM', {
    default: 'telemetry:teltonika',
    meaning: 'The stream the TCP ingestion service writes to; both must name the same.',
  }),
  streamShards: integer(
    'STREAM_SHARDS',
    { min: 1, max: maxShards },
    {
      default: null,
      example: '64',
      meaning:
        'Divides the stream into this many, named <REDIS_TELEMETRY_STREAM>:{0} and so on; the ingestion service uses the same number, which never changes. Default: one stream under its plain name.',
    },
  ),
  readShards: ranges('READ_SHARDS', maxShards - 1, {
    default: null,
    example: '0-3,8',
    meaning: 'The shards that this instance reads. Default: all of STREAM_SHARDS.',
  }),
  group: word('REDIS_CONSUMER_GROUP', {
    default: 'processor',
    meaning: 'The consumer group that all instances share.',
  }),
  consumer: word('CONSUMER_NAME', {
    default: null,
    example: 'processor-1',
    meaning:
      'Name within the group, unique for each instance and stable over restarts. Default: the host name.',
  }),
  readCount: integer(
    'READ_COUNT',
    { min: 1, max: 10_000 },
    {
      default: '1000',
      meaning: 'Maximum entries in one XREADGROUP.',
    },
  ),
  blockMs: integer(
    'READ_BLOCK_MS',
    { min: 100, max: 10_000 },
    {
      default: '2000',
      meaning: 'How long a read waits for new entries; a stop may take as long.',
    },
  ),
  claimThresholdMs: integer(
    'CLAIM_THRESHOLD_MS',
    { min: 1000, max: 24 * 60 * minute },
    {
      default: '60000',
      meaning:
        'Entries of another instance that are idle this long are claimed; above DRAIN_BUDGET_MS, so that no live work is claimed.',
    },
  ),
  claimIntervalMs: integer(
    'CLAIM_INTERVAL_MS',
    { min: 100, max: 60 * minute },
    {
      default: '15000',
      meaning: 'How often to look for orphaned entries to claim (jittered).',
    },
  ),
  maxDeliveries: integer(
    'MAX_DELIVERIES',
    { min: 1, max: 1000 },
    {
      default: '5',
      meaning:
        'An entry delivered more often is processed in isolation, and dead-lettered if that crashes the process repeatedly.',
    },
  ),
  consumerIdleMs: integer(
    'CONSUMER_IDLE_LIMIT_MS',
    { min: 1000, max: 30 * 24 * 60 * minute },
    {
      default: '3600000',
      meaning:
        'Consumers that are idle this long and have no pending entries are removed from the group.',
    },
  ),
  deadLetterKey: word('DEAD_LETTER_STREAM', {
    default: null,
    example: 'telemetry:teltonika:dlq',
    meaning: 'The dead-letter stream. Default: <REDIS_TELEMETRY_STREAM>:dlq.',
  }),
  deadLetterMaxEntries: integer(
    'DEAD_LETTER_MAX_ENTRIES',
    { min: 1000, max: 1_000_000_000 },
    {
      default: '1000000',
      meaning:
        'Maximum entries of the dead-letter stream; beyond it the oldest are dropped and counted.',
    },
  ),
  deadLetterStreamMaxBytes: integer(
    'DEAD_LETTER_STREAM_MAX_BYTES',
    { min: 1_048_576, max: 1_099_511_627_776 },
    {
      default: '268435456',
      meaning:
        'Maximum bytes of the dead-letter stream, names and values; beyond it the oldest are dropped and counted.',
    },
  ),
  deadLetterMaxBytes: integer(
    'DEAD_LETTER_MAX_BYTES',
    { min: 1024, max: 1_048_576 },
    {
      default: '65536',
      meaning:
        'Maximum size of an entry field in a dead letter; all fields together take four times as much. A larger field is replaced by length, SHA-256 and prefix.',
    },
  ),
  postgresUrl: url('POSTGRES_URL', ['postgres:', 'postgresql:'], {
    path: 'database',
    fault: postgresUrlFault,
    default: null,
    required: true,
    example: 'postgres://processor:secret@timescaledb:5432/telemetry',
    meaning:
      'The database with the table positions; ?sslmode=verify-full for TLS. A primary with standbys: host1:5432,host2:5432 and ?target_session_attrs=read-write (the default for a list) or primary.',
  }),
  postgresPassword: secret('POSTGRES_PASSWORD', {
    default: null,
    example: 'a-long-password',
    meaning:
      'Overrides the password in POSTGRES_URL, MIGRATION_POSTGRES_URL and DOMAIN_POSTGRES_URL.',
  }),
  migrationPostgresUrl: url('MIGRATION_POSTGRES_URL', ['postgres:', 'postgresql:'], {
    path: 'database',
    fault: postgresUrlFault,
    default: null,
    example: 'postgres://migrator:secret@timescaledb:5432/telemetry',
    meaning:
      'Direct URL for migrations, past a pooler or with the owner role; a list of hosts as in POSTGRES_URL. Default: POSTGRES_URL.',
  }),
  migrationPostgresPassword: secret('MIGRATION_POSTGRES_PASSWORD', {
    default: null,
    example: 'a-long-password',
    meaning:
      'Overrides the password in MIGRATION_POSTGRES_URL, where the owner role has another one.',
  }),
  postgresCaFile: path('POSTGRES_CA_FILE', {
    default: null,
    example: '/run/secrets/postgres_ca.pem',
    meaning:
      'CA certificates (PEM) for the PostgreSQL server; only with sslmode=verify-full. Default: the CAs of Node.js.',
  }),
  postgresCertFile: path('POSTGRES_CERT_FILE', {
    default: null,
    example: '/run/secrets/postgres_client.pem',
    meaning: 'Client certificate (PEM), if PostgreSQL requires one; with POSTGRES_KEY_FILE.',
  }),
  postgresKeyFile: path('POSTGRES_KEY_FILE', {
    default: null,
    example: '/run/secrets/postgres_client.key',
    meaning: 'The private key (PEM, not encrypted) of POSTGRES_CERT_FILE.',
  }),
  postgresConnectTimeoutMs: integer(
    'POSTGRES_CONNECT_TIMEOUT_MS',
    { min: 100, max: minute },
    {
      default: '5000',
      meaning: 'How long one attempt to connect to PostgreSQL may take, for each host of a list.',
    },
  ),
  lockTimeoutMs: integer(
    'LOCK_TIMEOUT_MS',
    { min: 100, max: 5 * minute },
    {
      default: '5000',
      meaning: 'How long a statement waits for a lock; shorter than STATEMENT_TIMEOUT_MS.',
    },
  ),
  statementTimeoutMs: integer(
    'STATEMENT_TIMEOUT_MS',
    { min: 200, max: 10 * minute },
    {
      default: '10000',
      meaning: 'How long the server may work on one statement; shorter than INSERT_DEADLINE_MS.',
    },
  ),
  insertDeadlineMs: integer(
    'INSERT_DEADLINE_MS',
    { min: 300, max: 15 * minute },
    {
      default: '12000',
      meaning:
        'How long the client waits for a statement before it closes the connection; shorter than DRAIN_BUDGET_MS.',
    },
  ),
  migrations: choice('MIGRATIONS', ['auto', 'verify', 'off'], {
    default: 'auto',
    meaning: 'Apply migrations at start, only check that they are applied, or do neither.',
  }),
  migrationLockTimeoutMs: integer(
    'MIGRATION_LOCK_TIMEOUT_MS',
    { min: 1000, max: 60 * minute },
    {
      default: '60000',
      meaning: "How long to wait for another instance's migration to finish.",
    },
  ),
  timescaledb: choice('TIMESCALEDB', ['required', 'optional'], {
    default: 'required',
    meaning:
      'optional stores positions in a plain table if the extension is not available or not loaded.',
  }),
  chunkIntervalMs: duration(
    'CHUNK_INTERVAL',
    { min: '1h', max: '365d' },
    {
      default: '1d',
      meaning: 'Time span of one chunk of the hypertable; a change applies to new chunks.',
    },
  ),
  lateHorizonMs: duration(
    'LATE_HORIZON',
    { min: '1h', max: '365d' },
    {
      default: '7d',
      meaning:
        'Records up to this late are expected; chunks stay uncompressed for longer. Later ones are stored too, at a higher cost.',
    },
  ),
  oldChunksPerDay: integer(
    'OLD_CHUNKS_PER_DAY',
    { min: 0, max: 100_000 },
    {
      default: '100',
      meaning:
        'New chunks that records older than LATE_HORIZON may make in 24 hours, of all instances together; further such records are dead-lettered. Raise it to import old records.',
    },
  ),
  columnstoreAfterMs: durationOrOff(
    'COLUMNSTORE_AFTER',
    { min: '1d', max: '50y' },
    {
      default: 'off',
      example: '30d',
      meaning:
        'Chunks older than this are compressed by TimescaleDB; at least LATE_HORIZON and CHUNK_INTERVAL together.',
    },
  ),
  retentionMs: durationOrOff(
    'RETENTION',
    { min: '7d', max: '50y' },
    {
      default: 'off',
      example: '2y',
      meaning:
        'Chunks older than this are dropped for good; longer than COLUMNSTORE_AFTER, and at least TS_MAX_PAST.',
    },
  ),
  aggregates: choice('AGGREGATES', ['off', 'on'], {
    default: 'off',
    meaning: 'Maintain the continuous aggregates positions.device_hours and positions.device_days.',
  }),
  writers: integer(
    'WRITERS',
    { min: 1, max: 16 },
    {
      default: '2',
      meaning: 'Batches written at the same time, each on its own connection.',
    },
  ),
  batchRows: integer(
    'BATCH_ROWS',
    { min: 1, max: 20_000 },
    {
      default: '5000',
      meaning: 'Maximum rows in one batch.',
    },
  ),
  batchBytes: integer(
    'BATCH_BYTES',
    { min: 65_536, max: 134_217_728 },
    {
      default: '8388608',
      meaning: 'Maximum bytes in one batch.',
    },
  ),
  inFlightRecords: integer(
    'IN_FLIGHT_RECORDS',
    { min: 100, max: 1_000_000 },
    {
      default: '20000',
      meaning: 'Records read and not yet acknowledged at which reading stops; at least BATCH_ROWS.',
    },
  ),
  inFlightBytes: integer(
    'IN_FLIGHT_BYTES',
    { min: 1_048_576, max: 1_073_741_824 },
    {
      default: '67108864',
      meaning: 'Bytes of entries in flight at which reading stops; at least BATCH_BYTES.',
    },
  ),
  tsMaxPastMs: duration(
    'TS_MAX_PAST',
    { min: '1h', max: '50y' },
    {
      default: '5y',
      meaning:
        'Older records are dead-lettered: a wrong clock would create a chunk for each wrong day.',
    },
  ),
  tsMaxFutureMs: duration(
    'TS_MAX_FUTURE',
    { min: '1s', max: '365d' },
    {
      default: '1d',
      meaning: 'Records dated further in the future are dead-lettered.',
    },
  ),
  maxRecords: integer(
    'MAX_RECORDS_PER_ENTRY',
    { min: 1, max: 255 },
    {
      default: '255',
      meaning: 'Maximum records in one packet.',
    },
  ),
  maxEntryBytes: integer(
    'MAX_ENTRY_BYTES',
    { min: 1024, max: 16_777_216 },
    {
      default: '262144',
      meaning: 'A larger entry is dead-lettered without being decoded.',
    },
  ),
  io16: flag('CODEC_IO16', {
    default: 'false',
    meaning:
      'Which IO layout to try first: with the 16-byte group that some FM devices send, or without it. The layout that adds up is used.',
  }),
  deviceCapacity: integer(
    'DEVICE_STATE_CAPACITY',
    { min: 100, max: 5_000_000 },
    {
      default: '100000',
      meaning: 'Devices whose state is kept in memory.',
    },
  ),
  rehydrateHorizonMs: duration(
    'REHYDRATE_HORIZON',
    { min: '1h', max: '50y' },
    {
      default: '30d',
      meaning: 'How far back the last position of an unknown device is looked up.',
    },
  ),
  negativeTtlMs: integer(
    'REHYDRATE_NEGATIVE_TTL_MS',
    { min: 0, max: 60 * minute },
    {
      default: '60000',
      meaning: 'How long a look-up without stored rows is cached.',
    },
  ),
  ...domainVariables,
  httpHost: host('HTTP_HOST', {
    default: '127.0.0.1',
    example: '0.0.0.0',
    meaning:
      'Where /metrics and /health listen. In a container 0.0.0.0, on an internal network only.',
  }),
  httpPort: integer(
    'HTTP_PORT',
    { min: 0, max: 65_535 },
    {
      default: '9464',
      meaning: 'Port of /metrics and /health; 0 takes any free one.',
    },
  ),
  logLevel: choice('LOG_LEVEL', ['debug', 'info', 'warn', 'error'], {
    default: 'info',
    meaning: 'Minimum log level.',
  }),
  tracingEndpoint: url('TRACING_ENDPOINT', ['http:', 'https:'], {
    path: '…',
    default: null,
    example: 'http://collector:4318/v1/traces',
    meaning: 'Where OpenTelemetry spans are sent (OTLP over HTTP). Without it nothing is traced.',
  }),
  tracingSamplePercent: integer(
    'TRACING_SAMPLE_PERCENT',
    { min: 1, max: 100 },
    {
      default: '1',
      meaning: 'Share of reads, batches and acknowledgements that are traced.',
    },
  ),
  environment: word('ENVIRONMENT', {
    default: 'production',
    meaning: 'The field env of every log line.',
  }),
  instance: word('INSTANCE_ID', {
    default: null,
    example: 'processor-1',
    meaning: 'The field instance of every log line and dead letter. Default: CONSUMER_NAME.',
  }),
  retriesPerMinute: integer(
    'RETRIES_PER_MINUTE',
    { min: 6, max: 6000 },
    {
      default: '120',
      meaning:
        'Average retries per minute for each dependency; a burst may use a whole minute at once.',
    },
  ),
  breakerErrorPercent: integer(
    'BREAKER_ERROR_PERCENT',
    { min: 1, max: 99 },
    {
      default: '50',
      meaning: 'Share of failed attempts above which the circuit breaker of a dependency opens.',
    },
  ),
  breakerSamples: integer(
    'BREAKER_SAMPLES',
    { min: 1, max: 1000 },
    {
      default: '20',
      meaning: 'Number of recent attempts that the breaker evaluates.',
    },
  ),
  breakerMinSamples: integer(
    'BREAKER_MIN_SAMPLES',
    { min: 1, max: 1000 },
    {
      default: '5',
      meaning: 'Minimum attempts before the breaker may open; at most BREAKER_SAMPLES.',
    },
  ),
  breakerCoolDownMs: integer(
    'BREAKER_COOL_DOWN_MS',
    { min: 100, max: 10 * minute },
    {
      default: '2000',
      meaning: 'How long an open breaker waits before it sends one probe.',
    },
  ),
  stallLimitMs: integer(
    'STALL_LIMIT_MS',
    { min: 1000, max: 24 * 60 * minute },
    {
      default: '300000',
      meaning:
        'The process exits after its event loop was blocked, or a backlog made no progress, for this long.',
    },
  ),
  panicDir: path('PANIC_DIR', {
    default: '/tmp',
    example: '/var/lib/processor',
    meaning: 'Directory for the dump of a panic, readable by this user only.',
  }),
  drainBudgetMs: integer(
    'DRAIN_BUDGET_MS',
    { min: 1000, max: 30 * minute },
    {
      default: '25000',
      meaning:
        'How long a stop may take to write the entries in flight; below the stop grace of the container.',
    },
  ),
  auditKey: secret('AUDIT_KEY', {
    default: null,
    example: 'a-long-random-text',
    meaning:
      'Key of the HMAC that replaces an IMEI in the audit. Keep it to match lines to a device; without it they name none.',
  }),
} as const;
