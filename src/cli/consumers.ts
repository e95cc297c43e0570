import type { Command } from 'commander';
import { aliveMs, type Removal, removeConsumer, viewConsumers } from '../stream/group-view.ts';
import { audit } from './audit.ts';
import { type ChangeFlags, makeChange } from './change.ts';
import { countText, durationText } from './format.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { changeExits, changing, cliIo, readExits, type SetExitCode } from './options.ts';
import { printable } from './printable.ts';
import { withStores } from './stores.ts';
import { table } from './table.ts';

/** Registers the commands of `processor consumers`. */
export function register(consumers: Command, setExitCode: SetExitCode): void {
  consumers
    .command('list')
    .description('list consumers, one per line')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', readExits)
    .action(async (flags: OutputFlags) => setExitCode(await runConsumersList(cliIo(), flags)));
  changing(consumers.command('remove'))
    .description('remove a consumer without pending entries from the group')
    .argument('<name>', 'the name, as consumers list prints it')
    .addHelpText('after', changeExits)
    .action(async (name: string, flags: ChangeFlags) =>
      setExitCode(await runConsumersRemove(cliIo(), name, flags)),
    );
}

/** `processor consumers list`: lists the consumers of the group and what each holds. */
export function runConsumersList(io: CliIo, flags: OutputFlags): Promise<CliExit> {
  return withStores(io, async ({ config, redis }) => {
    const consumers = await viewConsumers(await redis(), config.stream);
    // Redis 7.2 and newer report it; without it the column would be empty.
    const hasActivity = consumers.some(({ inactiveMs }) => inactiveMs !== null);
    const heading = ['CONSUMER', 'PENDING', 'ASKED', ...(hasActivity ? ['RECEIVED'] : [])];
    const lines = consumers.map(({ name, pending, idleMs, inactiveMs }) => [
      name,
      countText(pending),
      `${durationText(idleMs)} ago`,
      ...(hasActivity ? [inactiveMs === null ? 'never' : `${durationText(inactiveMs)} ago`] : []),
    ]);
    const text = consumers.length === 0 ? 'no consumers' : table([heading, ...lines]);
    const json = consumers.map(({ name, pending, idleMs, inactiveMs }) => {
      return { name, pending, idle_ms: idleMs, inactive_ms: inactiveMs };
    });
    print(io, flags, { consumers: json }, text);
    return cliExits.ok;
  });
}

const answers: Readonly<Record<Exclude<Removal, 'removed'>, string>> = {
  pending:
    'it holds entries, which would be lost with it: processor pending claim --consumer first',
  alive: 'it asked for entries a moment ago: stop its instance first',
  absent: 'the group has no such consumer; see processor consumers list',
};

/** `processor consumers remove <name>`: removes a consumer without pending entries. */
export function runConsumersRemove(io: CliIo, name: string, flags: ChangeFlags): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const { stream } = stores.config;
    return await makeChange(io, flags, {
      what: `remove the consumer ${printable(name)}`,
      planned: { removed: false },
      async carryOut() {
        const removal = await removeConsumer(await stores.redis(), stream, name, aliveMs(stream));
        if (removal !== 'removed') {
          io.stderr.write(`processor: ${printable(name)}: ${answers[removal]}\n`);
          return cliExits.failed;
        }
        return {
          result: { removed: true, name },
          text: `the consumer ${printable(name)} is removed`,
          audit: () => audit(io, flags, stores, 'consumers remove', name),
        };
      },
    });
  });
}
