import type { Command } from 'commander';
import { register as registerContract } from './domain/contract.ts';
import { register as registerPause } from './domain/pause.ts';
import { register as registerRecompute } from './domain/recompute.ts';
import { register as registerResume } from './domain/resume.ts';
import { register as registerRetry } from './domain/retry.ts';
import { register as registerShow } from './domain/show.ts';
import { register as registerStatus } from './domain/status.ts';
import { register as registerVerify } from './domain/verify.ts';
import type { SetExitCode } from './options.ts';

/** Registers the commands of `processor domain`. */
export function register(domain: Command, setExitCode: SetExitCode): void {
  registerStatus(domain.command('status'), setExitCode);
  registerContract(domain.command('contract'), setExitCode);
  registerShow(domain.command('show'), setExitCode);
  registerVerify(domain.command('verify'), setExitCode);
  registerRecompute(domain.command('recompute'), setExitCode);
  registerPause(domain.command('pause'), setExitCode);
  registerResume(domain.command('resume'), setExitCode);
  registerRetry(domain.command('retry'), setExitCode);
}
