import type { Command } from 'commander';
import { readDomainPause, readDomainQueue, readParked } from '../../db/domain-operators.ts';
import { countUnknownDevices } from '../../db/domain-outbox.ts';
import { hasDomainTrigger } from '../../db/domain-switch.ts';
import { type CliIo, type OutputFlags, print } from '../io.ts';
import { cliIo, type SetExitCode } from '../options.ts';
import { type Stores, withStores } from '../stores.ts';
import { domainExits } from './contract.ts';
import { viewContract } from './contract-view.ts';
import { onDomain } from './session.ts';
import {
  attentionOf,
  type DomainStatus,
  domainStatusJson,
  renderDomainStatus,
  shownParked,
} from './status-view.ts';

/** Registers `processor domain status`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  command
    .description('show what waits to be computed, what is parked, and the contract')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText(
      'after',
      '\nExit codes: 0 all is well, also with DOMAIN=off; 1 failed; 3 something needs attention.',
    )
    .action(async (flags: OutputFlags) => setExitCode(await runDomainStatus(cliIo(), flags)));
}

/** `processor domain status`: the state of the domain in the database. */
export function runDomainStatus(io: CliIo, flags: OutputFlags): Promise<number> {
  return withStores<number>(io, async (stores) => {
    const status = await readStatus(stores);
    print(io, flags, domainStatusJson(status), renderDomainStatus(status));
    return attentionOf(status).length === 0 ? domainExits.ok : domainExits.attention;
  });
}

async function readStatus(stores: Stores): Promise<DomainStatus> {
  const stored = await onDomain(stores, async (client) => ({
    hasTrigger: await hasDomainTrigger(client),
    queue: await readDomainQueue(client),
    pause: await readDomainPause(client),
    parked: await readParked(client, shownParked),
  }));
  const contract = await viewContract(stores);
  const isEnabled = stores.config.domain.enabled;
  // Counted against what the workers compared last, which is nothing while the domain is off.
  const unknownDevices = isEnabled ? await onDomain(stores, countUnknownDevices) : null;
  return { isEnabled, ...stored, contract, unknownDevices };
}
