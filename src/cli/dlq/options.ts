import { type Command, InvalidArgumentError, Option } from 'commander';
import { reasons } from '../../core/types.ts';
import { instant, positive } from '../options.ts';
import { sharded } from '../shards.ts';
import { isShownId } from './shard-id.ts';

const stages = ['decode', 'validate', 'write', 'conflict'];
/** Default maximum of dead letters that a command works on. */
export const maxDeadLetters = 1_000_000;

/** Adds the options that select dead letters. */
export function filtered(command: Command, limit: number): Command {
  return sharded(command)
    .addOption(new Option('--reason <reason>', 'only dead letters of this reason').choices(reasons))
    .addOption(new Option('--stage <stage>', 'only dead letters of this stage').choices(stages))
    .option('--device <imei>', 'only dead letters of this device')
    .option('--id <id>', 'only the dead letter with this id', deadLetterId)
    .option(
      '--since <time>',
      'only dead letters from this time on: ISO 8601, or how long ago: 30m, 2h, 7d',
      instant,
    )
    .option('--until <time>', 'only dead letters before this time, in the same form', instant)
    .option('--limit <number>', 'maximum number of dead letters', positive, limit);
}

/** The id of a dead letter, for an option or argument. */
export function deadLetterId(text: string): string {
  if (!isShownId(text)) {
    throw new InvalidArgumentError('expected an id such as 1767225600000-0.');
  }
  return text;
}
