import { type Change, type ChangeFlags, makeChange } from '../change.ts';
import { type CliExit, type CliIo, cliExits, print } from '../io.ts';
import { inShards, missingJson, reportUnchanged } from '../shard-text.ts';
import { exitOf, type Missing, type StreamStore } from '../shards.ts';
import type { Stores } from '../stores.ts';

/** What a command found: the streams to change, and the shards that did not answer. */
export interface Found {
  readonly stores: readonly StreamStore[];
  readonly missing: readonly Missing[];
}

/**
 * Makes a change in the streams that answered, after a report of the shards that did not. If none
 * answered, the missing ones are printed as JSON, and no text.
 * @param changeOf gets the part of a sentence that names the shards, empty if all answered
 */
export async function changeAnswered(
  io: CliIo,
  flags: ChangeFlags,
  { config, streams }: Pick<Stores, 'config' | 'streams'>,
  { stores, missing }: Found,
  changeOf: (where: string) => Change,
): Promise<CliExit> {
  reportUnchanged(io, missing);
  const unanswered = missingJson(config, missing);
  if (missing.length === streams.length) {
    print(io, flags, unanswered, '');
    return exitOf(missing);
  }
  const change = changeOf(missing.length === 0 ? '' : inShards(stores));
  const planned = { ...change.planned, ...unanswered };
  const exit = await makeChange(io, flags, { ...change, planned });
  return exit === cliExits.ok ? exitOf(missing) : exit;
}
