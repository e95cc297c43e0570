import type { Command } from 'commander';
import { instant } from '../options.ts';
import type { Stores } from '../stores.ts';
import type { VerifyRange } from './verify-device.ts';

/** A time range of records, by the time of the device. */
export interface RangeFlags {
  readonly from?: number;
  readonly to?: number;
}

/** Adds `--from` and `--to`. */
export function withRange(command: Command): Command {
  return command
    .option(
      '--from <time>',
      'start of the range: ISO 8601, or how long ago: 2h, 7d; default: DOMAIN_RECOMPUTE_HORIZON ago',
      instant,
    )
    .option('--to <time>', 'end of the range, in the same form; default: no end', instant);
}

/** The range of the flags, in epoch milliseconds. */
export function rangeOf({ config }: Pick<Stores, 'config'>, { from, to }: RangeFlags): VerifyRange {
  return { from: from ?? Date.now() - config.domain.recomputeHorizonMs, to: to ?? Infinity };
}
