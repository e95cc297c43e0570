import type { Command } from 'commander';
import { createSwitches } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { type ChangeFlags, type Done, makeChange, operatorOf } from './change.ts';
import type { CliExit, CliIo } from './io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';
import { linesOf, placeText, reportUnchanged, shardsJson } from './shard-text.ts';
import { exitOf, overShards, type ShardFlags, sharded } from './shards.ts';
import { type Stores, withStores } from './stores.ts';

export interface PauseFlags extends ChangeFlags, ShardFlags {
  readonly reason: string;
}

/** Registers `processor pause`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  sharded(changing(command))
    .requiredOption('--reason <text>', 'why, for the audit line and the log')
    .addHelpText('after', changeExits)
    .action(async (flags: PauseFlags) => setExitCode(await runPause(cliIo(), flags)));
}

/** `processor pause`: instances write what they hold and read no more until `resume`. */
export function runPause(io: CliIo, flags: PauseFlags): Promise<CliExit> {
  return withStores(
    io,
    async (stores) =>
      await makeChange(io, flags, {
        what: `pause consumption of ${placeText(stores.config, stores.streams)} on all instances`,
        planned: { paused: false },
        carryOut: () => pauseAll(io, flags, stores),
      }),
    flags,
  );
}

async function pauseAll(io: CliIo, flags: PauseFlags, { config, streams }: Stores): Promise<Done> {
  const by = operatorOf(io, flags);
  const pause = { by, reason: flags.reason, at: new Date().toISOString() };
  const answers = await overShards(streams, ({ stream, redis }) =>
    createSwitches(redis, controlKeys(stream.key)).pause(pause),
  );
  const { answered, missing } = answers;
  reportUnchanged(io, missing);
  const text = linesOf(answered, (isNew, stores) => {
    const place = placeText(config, stores);
    return isNew
      ? `consumption of ${place} is paused; running instances stop within two seconds`
      : `consumption of ${place} was paused already`;
  });
  const result = {
    paused: missing.length === 0,
    changed: answered.some(({ value }) => value),
    ...shardsJson(config, answers, (isNew) => ({ changed: isNew })),
  };
  return { result, text, exit: exitOf(missing) };
}
