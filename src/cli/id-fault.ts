import type { IdFault } from '../core/types.ts';

const texts: Readonly<Record<IdFault, string>> = {
  future: 'more than an hour in the future',
  past: 'more than ten years old, as ids in seconds are',
  exhausted: 'at the last id there is: Redis adds no entry',
};

/** What ids that are not timestamps mean for an operator. */
export function idFaultText(fault: IdFault): string {
  return `entry ids are not timestamps, they are ${texts[fault]}: ages, latency from entries and verify --from are meaningless (OPERATIONS.md, ProcessorEntryIdsNoClock)`;
}
