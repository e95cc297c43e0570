import type { Logger } from '../core/types.ts';
import { type PanicState, type WrittenDump, writeDump } from './panic-dump.ts';
import { exitCodes } from './signals.ts';

export interface PanicOptions {
  /** Where the dump goes. */
  readonly dir: string;
  readonly instance: string;
  readonly build: { readonly version: string; readonly revision: string };
  /** Collected in the moment of the panic; what throws here is noted, not passed on. */
  readonly state: () => PanicState;
  /** Scrubbed and bounded. */
  readonly describeError: (error: unknown) => object;
  readonly log: Logger;
}

export type PanicKind = 'uncaughtException' | 'unhandledRejection' | 'pipeline';

export interface Panic {
  /** Logs, dumps and ends the process with 70. */
  panic(kind: PanicKind, error: unknown): never;
  uninstall(): void;
}

/**
 * For errors nobody expected: their state cannot be trusted, so the process ends, with a dump for
 * whoever has to find out, and an exit code on which a container engine starts it anew. What was
 * in flight stays pending in the group.
 */
export function installPanic(options: PanicOptions): Panic {
  const { dir, instance, build, state, describeError, log } = options;
  let isPanicking = false;

  function dump(kind: PanicKind, error: unknown): WrittenDump | { dump_failed: object } {
    try {
      const at = new Date();
      const head = { kind, at: at.toISOString(), instance, ...build, error: describeError(error) };
      return writeDump(dir, instance, at, head, state());
    } catch (failure) {
      return { dump_failed: describeError(failure) };
    }
  }

  function panic(kind: PanicKind, error: unknown): never {
    // An error while panicking ends it where it stands.
    if (isPanicking) process.exit(exitCodes.panic);
    isPanicking = true;
    log.error({ kind, err: error, ...dump(kind, error) }, 'panic; ending to be started anew');
    process.exit(exitCodes.panic);
  }

  const onException = (error: unknown) => panic('uncaughtException', error);
  const onRejection = (error: unknown) => panic('unhandledRejection', error);
  process.on('uncaughtException', onException);
  process.on('unhandledRejection', onRejection);
  return {
    panic,
    uninstall() {
      process.off('uncaughtException', onException);
      process.off('unhandledRejection', onRejection);
    },
  };
}
