import type { Command } from 'commander';
import { createSwitches, type Pause } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { type ChangeFlags, type Done, makeChange, operatorOf } from './change.ts';
import type { CliExit, CliIo } from './io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';
import { printable } from './printable.ts';
import { linesOf, placeText, reportUnchanged, shardsJson } from './shard-text.ts';
import { type Answers, exitOf, overShards, type ShardFlags, sharded } from './shards.ts';
import { type Stores, withStores } from './stores.ts';

/** Registers `processor resume`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  sharded(changing(command))
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags & ShardFlags) =>
      setExitCode(await runResume(cliIo(), flags)),
    );
}

/** `processor resume`: ends the pause. */
export function runResume(io: CliIo, flags: ChangeFlags & ShardFlags): Promise<CliExit> {
  return withStores(
    io,
    async (stores) =>
      await makeChange(io, flags, {
        what: `resume consumption of ${placeText(stores.config, stores.streams)} on all instances`,
        planned: { resumed: false },
        carryOut: () => resumeAll(io, flags, stores),
      }),
    flags,
  );
}

async function resumeAll(io: CliIo, flags: ChangeFlags, stores: Stores): Promise<Done> {
  const by = operatorOf(io, flags);
  const answers = await overShards(stores.streams, ({ stream, redis }) =>
    createSwitches(redis, controlKeys(stream.key)).resume(by),
  );
  reportUnchanged(io, answers.missing);
  const text = linesOf(answers.answered, (ended, streams) => {
    const place = placeText(stores.config, streams);
    return ended === null
      ? `consumption of ${place} was not paused`
      : `consumption of ${place} is resumed; it was paused by ${printable(ended.by)} at ${printable(ended.at)}: ${printable(ended.reason)}`;
  });
  return { result: resultOf(stores, answers), text, exit: exitOf(answers.missing) };
}

/** The pause of the first shard that was paused stands for all; usually one command paused them. */
function resultOf({ config }: Stores, answers: Answers<Pause | null>): object {
  const ended = answers.answered.find(({ value }) => value !== null)?.value ?? null;
  return {
    resumed: ended !== null,
    pause: ended,
    ...shardsJson(config, answers, (pause) => ({ resumed: pause !== null, pause })),
  };
}
