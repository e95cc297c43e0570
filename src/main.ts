import { processHost } from './config/host.ts';
import { type Config, formatProblems, loadConfig } from './config/load.ts';
import type { Logger } from './core/types.ts';
import { MigrationError } from './db/migration-error.ts';
import { limitHeapGrowth } from './lifecycle/heap.ts';
import { exitCodes, stopSignal } from './lifecycle/signals.ts';
import { captureLibraryOutput } from './observability/library-output.ts';
import { createLogger } from './observability/logger.ts';
import { scrub } from './observability/scrub.ts';
import type { Build } from './service.ts';

/** Runs the service from the environment. @returns the exit code */
export async function run(env: NodeJS.ProcessEnv, build: Build): Promise<number> {
  limitHeapGrowth();
  const loaded = loadConfig(env, processHost());
  if (!loaded.ok) {
    process.stderr.write(`${formatProblems(loaded.problems)}\n`);
    return exitCodes.failed;
  }
  const { config } = loaded;
  const log = createLogger({ ...config.service, level: config.log.level });
  captureLibraryOutput(log);
  return await serve(config, build, log);
}

/** Starts the service, waits for a signal or a stall, and stops it. */
async function serve(config: Config, build: Build, log: Logger): Promise<number> {
  const { createService } = await import('./service.ts');
  const service = createService(config, build, log);
  const signalled = stopSignal(log).then((signal) => {
    log.info({ signal }, 'stopping');
    return 'signal' as const;
  });
  try {
    const started = service.start().then(() => 'started' as const);
    const stalled = service.stalled().then(() => 'stalled' as const);
    const early = await Promise.race([signalled, started]);
    const cause = early === 'signal' ? early : await Promise.race([signalled, stalled]);
    if (cause === 'stalled') return exitCodes.stalled;
    // Also during the start: its last step may have begun to read.
    return (await service.drain()) ? exitCodes.ok : exitCodes.drainOverrun;
  } catch (error) {
    return reportFailure(error, log);
  } finally {
    await service.stop();
  }
}

/** Reports to a person on stderr, before the log line with its stacks. */
function reportFailure(error: unknown, log: Logger): number {
  const reason = error instanceof Error ? error.message : String(error);
  process.stderr.write(`processor: ${scrub(reason)}\n`);
  const code = error instanceof MigrationError ? error.code : 'unexpected';
  log.error({ code, err: error }, 'service failed');
  return exitCodes.failed;
}
