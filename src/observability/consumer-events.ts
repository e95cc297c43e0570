import type { Account, EntryId, Logger, LossCause } from '../core/types.ts';
import type { Metrics } from './metrics.ts';

/** Maximum ids in one log line. */
const shownIds = 20;

/** Events of the consumer as metrics and log lines. */
export function createConsumerEvents(
  metrics: Metrics,
  log: Logger,
  account: Pick<Account, 'read' | 'settle'>,
  /** Records the loss in Redis, where it outlives this process. */
  noteLoss: (cause: LossCause, entries: number) => void,
  connected: (isConnected: boolean) => void,
) {
  return {
    groupRecreated() {
      metrics.streamEvents.inc({ event: 'group_recreated' });
      log.error({}, 'consumer group missing; recreated, reading from the start of the stream');
    },
    streamWentBack(entries: number) {
      metrics.streamEvents.inc({ event: 'went_back' });
      log.error(
        { entries },
        'the stream went back in time (a failover?); reading from the start, entries since are lost',
      );
    },
    lostUndelivered(entries: number) {
      metrics.entriesLost.inc({ cause: 'trimmed_undelivered' }, entries);
      noteLoss('trimmed_undelivered', entries);
      log.error({ entries }, 'entries were trimmed before they were read');
    },
    lossUncertain(atMost: number) {
      metrics.streamEvents.inc({ event: 'loss_uncertain' });
      log.warn(
        { at_most: atMost },
        'entries may have been trimmed undelivered around a restart of Redis; run processor verify',
      );
    },
    lostPending(ids: readonly EntryId[]) {
      metrics.entriesLost.inc({ cause: 'trimmed_pending' }, ids.length);
      noteLoss('trimmed_pending', ids.length);
      account.read(ids.length);
      account.settle('lost', ids.length);
      log.error(
        { entry_ids: ids.slice(0, shownIds), entries: ids.length },
        'entries were trimmed while pending',
      );
    },
    claimed(entries: number) {
      metrics.claims.inc(entries);
      log.warn({ entries }, 'entries of another instance claimed');
    },
    claimRun() {
      metrics.claimRuns.inc();
    },
    consumersRemoved(names: readonly string[]) {
      metrics.consumersRemoved.inc(names.length);
      log.info({ consumers: names }, 'idle consumers removed');
    },
    connected,
  };
}
