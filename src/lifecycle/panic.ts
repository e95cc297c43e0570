import type { Logger, Service } from '../core/types.ts';
import { type PanicState, type WrittenDump, writeDump } from './panic-dump.ts';
import { exitCodes } from './signals.ts';

export interface PanicOptions {
  /** Directory of the dump. */
  readonly dir: string;
  readonly instance: string;
  readonly build: { readonly version: string; readonly revision: string };
  /** Collected at the time of the panic; an error thrown here is recorded in the log line. */
  readonly state: () => PanicState;
  /** Scrubbed and bounded. */
  readonly describeError: (error: unknown) => object;
  readonly log: Logger;
}

export type PanicKind = 'uncaughtException' | 'unhandledRejection' | 'pipeline';

/** While it is started, uncaught exceptions and unhandled rejections cause a panic. */
export interface PanicHandler extends Service {
  /** Logs, writes the dump and exits with 70. */
  panic(kind: PanicKind, error: unknown): never;
}

/**
 * Handles unexpected errors. The state of the process cannot be trusted after one, so the process
 * writes a dump for the investigation and exits with a code on which a container engine restarts
 * it. Entries in flight stay pending in the group.
 */
export function createPanicHandler(options: PanicOptions): PanicHandler {
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
    // A second error during the panic exits at once.
    if (isPanicking) process.exit(exitCodes.panic);
    isPanicking = true;
    log.error(
      { kind, err: error, ...dump(kind, error) },
      'panic; exiting so that the supervisor restarts the process',
    );
    process.exit(exitCodes.panic);
  }

  const onException = (error: unknown) => panic('uncaughtException', error);
  const onRejection = (error: unknown) => panic('unhandledRejection', error);
  const uninstall = () => {
    process.off('uncaughtException', onException);
    process.off('unhandledRejection', onRejection);
  };
  return {
    name: 'panic handler',
    panic,
    start() {
      // Adding a listener twice would report one error twice.
      uninstall();
      process.on('uncaughtException', onException);
      process.on('unhandledRejection', onRejection);
      return Promise.resolve();
    },
    stop() {
      uninstall();
      return Promise.resolve();
    },
  };
}
