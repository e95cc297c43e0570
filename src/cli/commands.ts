import type { Command } from 'commander';
import type { SetExitCode } from './options.ts';

/** What the file of a command exports. */
interface CommandModule {
  /** Adds arguments, options, subcommands and the action. */
  readonly register: (command: Command, setExitCode: SetExitCode) => void;
}

export interface CommandEntry {
  readonly name: string;
  /** One line for `processor --help`, which loads no command. */
  readonly description: string;
  readonly load: () => Promise<CommandModule>;
}

/** The commands in the order of the help; `processor run` comes from the program itself. */
export const commands: readonly CommandEntry[] = [
  {
    name: 'decode',
    description: 'decode packets, given as hex or as lines on stdin, to one JSON line each',
    load: () => import('./decode.ts'),
  },
  {
    name: 'simulate',
    description: 'send a simulated fleet to a stream, with a ledger of what was sent',
    load: () => import('./simulate.ts'),
  },
  {
    name: 'check-ledger',
    description: 'compare the ledgers of simulate with the table and the dead letters',
    load: () => import('./check-ledger.ts'),
  },
  {
    name: 'config',
    description: 'print every variable, its value and where it came from; secrets are hidden',
    load: () => import('./config.ts'),
  },
  {
    name: 'doctor',
    description: 'check configuration, Redis and database before a deploy; changes nothing',
    load: () => import('./doctor.ts'),
  },
  {
    name: 'pause',
    description: 'stop consumption on all instances until resume',
    load: () => import('./pause.ts'),
  },
  {
    name: 'resume',
    description: 'start consumption again on all instances',
    load: () => import('./resume.ts'),
  },
  {
    name: 'device',
    description: 'inspect one device, or drop its state from running instances',
    load: () => import('./device.ts'),
  },
  {
    name: 'status',
    description: 'show lag, pending entries, rates and dead letters, and what needs attention',
    load: () => import('./status.ts'),
  },
  {
    name: 'pending',
    description: 'list or hand over entries that are delivered and not acknowledged',
    load: () => import('./pending.ts'),
  },
  {
    name: 'consumers',
    description: 'list or remove the consumers of the group',
    load: () => import('./consumers.ts'),
  },
  {
    name: 'dlq',
    description: 'inspect, export, replay or delete dead letters',
    load: () => import('./dlq.ts'),
  },
  {
    name: 'verify',
    description: 'check that every record of a time range of the stream is stored or dead-lettered',
    load: () => import('./verify.ts'),
  },
  {
    name: 'domain',
    description: 'inspect, verify, recompute or pause geofences and timing records',
    load: () => import('./domain.ts'),
  },
  {
    name: 'migrate',
    description: 'show or apply the migrations of the database',
    load: () => import('./migrate.ts'),
  },
  {
    name: 'retention',
    description: 'drop rows older than RETENTION, where the server has no policy that does it',
    load: () => import('./retention.ts'),
  },
];
