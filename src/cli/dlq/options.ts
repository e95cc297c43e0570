import { type Command, InvalidArgumentError, Option } from 'commander';
import { reasons } from '../../core/types.ts';
import { instant, positive } from '../options.ts';

const stages = ['decode', 'validate', 'write', 'conflict'];
/** Dead letters a command works on by default. */
export const many = 1_000_000;

/** Adds the options that select dead letters. */
export function filtered(command: Command, limit: number): Command {
  return command
    .addOption(new Option('--reason <reason>', 'only dead letters of this reason').choices(reasons))
    .addOption(new Option('--stage <stage>', 'only dead letters of this stage').choices(stages))
    .option('--device <imei>', 'only dead letters of this device')
    .option('--id <id>', 'only the dead letter with this id', letterId)
    .option('--since <time>', 'ISO 8601, or how long ago: 30m, 2h, 7d', instant)
    .option('--until <time>', 'likewise', instant)
    .option('--limit <number>', 'maximum number of dead letters', positive, limit);
}

/** The id of a dead letter, for an option or argument. */
export function letterId(text: string): string {
  if (!/^\d{1,15}-\d{1,15}$/.test(text)) {
    throw new InvalidArgumentError('expected an id, as 1767225600000-0.');
  }
  return text;
}
