import { execFile } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { ServerError } from './server-error.ts';
import { isRoot } from './system-user.ts';

const execFileText = promisify(execFile);
const aptTimeoutMs = 300_000;
const listsLockAttempts = 60;
const listsLockPauseMs = 2_000;

/** The program in one of the folders of PATH; null when it is in none. */
export function findProgram(name: string): string | null {
  const { PATH = '' } = process.env;
  for (const folder of PATH.split(delimiter).filter((entry) => entry !== '')) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here; the next folder.
    }
  }
  return null;
}

/**
 * Installs one of Debian's packages, where we are root and there is apt; says so in one line on
 * standard error. The package's own service does not stay running: the tests start their own.
 * @throws ServerError `no_program`
 */
export async function installPackage(name: string, service: string, why: string): Promise<void> {
  try {
    await install([name], why);
  } finally {
    if (canInstall()) await stopService(service);
  }
}

/** Programs that some tests run, and Debian's packages with them. */
const tools = { psql: 'postgresql-client' } as const;

/**
 * Installs the programs that are missing. Where that cannot be done it says so on standard error:
 * the tests that need one are then skipped, by name.
 */
export async function provideTools(): Promise<void> {
  const missing = Object.entries(tools).filter(([program]) => findProgram(program) === null);
  if (missing.length === 0) return;
  const packages = missing.map(([, name]) => name);
  const why = `tests will be skipped: install ${packages.join(' and ')} and run again`;
  try {
    await install(packages, why);
  } catch (error) {
    if (!(error instanceof ServerError)) throw error;
    process.stderr.write(`test servers: ${error.message}\n`);
  }
}

function canInstall(): boolean {
  return isRoot() && findProgram('apt-get') !== null;
}

async function install(packages: readonly string[], why: string): Promise<void> {
  if (!canInstall()) throw new ServerError('no_program', why);
  process.stderr.write(`test servers: installing Debian's ${packages.join(' and ')} (apt-get)\n`);
  try {
    await updateLists();
    await apt('install', '-y', '--no-install-recommends', ...packages);
  } catch (error) {
    throw new ServerError('no_program', `${why} (apt-get failed: ${lastLines(error)})`, {
      cause: error,
    });
  }
}

function apt(...args: readonly string[]): Promise<unknown> {
  return execFileText('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=120', ...args], {
    // RUNLEVEL=1 keeps sysvinit's scripts from starting the service.
    env: { ...process.env, RUNLEVEL: '1', DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    timeout: aptTimeoutMs,
    maxBuffer: 16 * 1024 * 1024,
  });
}

/** `DPkg::Lock::Timeout` waits for dpkg's lock only, not for that of the package lists. */
async function updateLists(): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await apt('update');
      return;
    } catch (error) {
      const locked = error instanceof Error && error.message.includes('lists/lock');
      if (!locked || attempt === listsLockAttempts) throw error;
      await sleep(listsLockPauseMs);
    }
  }
}

/** systemd starts a freshly installed service whatever RUNLEVEL says. */
async function stopService(service: string): Promise<void> {
  try {
    if (existsSync('/run/systemd/system')) {
      await execFileText('systemctl', ['disable', '--now', service]);
    } else if (existsSync(`/etc/init.d/${service}`)) {
      await execFileText(`/etc/init.d/${service}`, ['stop']);
    }
  } catch (error) {
    process.stderr.write(
      `test servers: could not stop the service ${service}: ${lastLines(error)}\n`,
    );
  }
}

function lastLines(error: unknown): string {
  const text =
    error instanceof Error && 'stderr' in error && typeof error.stderr === 'string'
      ? error.stderr || error.message
      : String(error);
  return text.trim().split('\n').slice(-3).join(' | ');
}
