import type { DomainEvents } from './ports.ts';
import type { BatchErrorMeaning } from './worker-parts.ts';

export interface FailureReporting {
  readonly events: DomainEvents;
  readonly meaningOf: (error: unknown) => BatchErrorMeaning;
}

/**
 * Returns `work` in a form that never rejects: a failure becomes an event, with the number of failures
 * in a row.
 * @param onFailed called before the event
 */
export function reportFailures(
  work: () => Promise<void>,
  { events, meaningOf }: FailureReporting,
  onFailed: () => void = () => undefined,
): () => Promise<void> {
  let failures = 0;
  return async () => {
    try {
      await work();
      failures = 0;
    } catch (error) {
      failures += 1;
      const { kind, code } = meaningOf(error);
      onFailed();
      events.failed({ kind, code, attempt: failures, devices: 0, error });
    }
  };
}
