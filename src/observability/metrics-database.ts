import { batchClosings } from '../core/types.ts';
import { type MetricMaker, zeroed } from './metric-maker.ts';

const poolStates = ['busy', 'idle'] as const;

/** Metrics of writing and the database. */
export function createDatabaseMetrics(make: MetricMaker) {
  return {
    batches: make.counter(
      'processor_batches_total',
      'Batches by the reason they were closed.',
      'closed_by',
      batchClosings,
    ),
    statements: make.plainCounter(
      'processor_statements_total',
      'Statements sent to write batches.',
    ),
    batchSize: make.histogram(
      'processor_batch_size_records',
      'Rows in a batch.',
      [1, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 20_000],
    ),
    insertDuration: make.histogram(
      'processor_insert_duration_seconds',
      'Time from sending a batch to the database to its outcome.',
      [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    ),
    lastCommit: make.gauge(
      'processor_last_commit_timestamp_seconds',
      'Time of the last committed batch; 0 before the first.',
    ),
    poolConnections: zeroed(
      make.labelledGauge('processor_db_pool_connections', 'Database connections by state.', [
        'state',
      ]),
      poolStates,
    ),
    poolWaiting: make.gauge('processor_db_pool_waiting', 'Statements waiting for a connection.'),
    databasePrimaryChanges: make.plainCounter(
      'processor_database_primary_changes_total',
      'Times that another host of POSTGRES_URL took writes than before.',
    ),
    chunks: make.gauge(
      'processor_hypertable_chunks',
      'Chunks of positions, sampled every minute; 0 for a plain table, absent while unknown.',
    ),
  };
}
