import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProgram } from './needs.mjs';
import { showProgress } from './progress.mjs';
import { lastLines, run } from './run.mjs';

/** @typedef {import('./needs.mjs').Need} Need */

const listsLockAttempts = 60;
const listsLockPauseMs = 2_000;

/**
 * Installs what is missing where this is root and there is apt-get; else says, in one message,
 * everything that is missing and the one command that installs it.
 * @param {readonly Need[]} needs
 * @returns {Promise<boolean>} whether the script can run
 */
export async function provide(needs) {
  if (needs.length === 0) return true;
  const problem = canInstall() ? await install(needs) : '';
  if (problem === null) return true;
  process.stderr.write(advice(needs, problem));
  return needs.every(({ required }) => !required);
}

function canInstall() {
  return process.getuid?.() === 0 && findProgram('apt-get', process.env) !== null;
}

/**
 * Everything that is missing, why it is needed, and the one command that installs it.
 * @param {readonly Need[]} needs
 * @param {string} problem what apt-get said; empty when it was not tried
 */
export function advice(needs, problem) {
  const isStopped = needs.some(({ required }) => required);
  const lines = needs.map(({ name, why }) => `  ${name}: ${why}`);
  const instead = needs.flatMap((need) => (need.required && need.instead ? [need.instead] : []));
  return [
    `processor: missing on this machine${isStopped ? '' : ', going on without'}:`,
    ...lines,
    ...(problem === '' ? [] : [`apt-get failed: ${problem}`]),
    howToInstall(needs),
    ...instead.map((text) => `Or ${text}.`),
    '',
  ].join('\n');
}

/** @param {readonly Need[]} needs */
function howToInstall(needs) {
  if (findProgram('apt-get', process.env) === null)
    return `Install ${needs.map(({ name }) => name).join(', ')}.`;
  const packages = needs.map((need) => need.package).join(' ');
  return `As root: apt-get update && apt-get install -y --no-install-recommends ${packages}`;
}

/**
 * @param {readonly Need[]} needs
 * @returns {Promise<string | null>} null when they are installed, else what apt-get said
 */
async function install(needs) {
  const packages = needs.map((need) => need.package);
  const progress = showProgress(`processor: apt-get install ${packages.join(' ')}`, {
    out: process.stderr,
  });
  const updated = await updateLists();
  const installed = updated.ok
    ? await apt('install', '-y', '--no-install-recommends', ...packages)
    : updated;
  progress.done(
    installed.ok ? `processor: installed ${packages.join(', ')} with apt-get` : undefined,
  );
  for (const { service } of needs) if (service !== undefined) await stopService(service);
  return installed.ok ? null : lastLines(installed.output);
}

/** @param {...string} words */
function apt(...words) {
  return run('apt-get', ['-q', '-o', 'DPkg::Lock::Timeout=120', ...words], {
    // RUNLEVEL=1 keeps sysvinit's scripts from starting the service.
    env: { ...process.env, RUNLEVEL: '1', DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' },
    interruptible: false,
  });
}

/** `DPkg::Lock::Timeout` waits for dpkg's lock only, not for that of the package lists. */
async function updateLists() {
  for (let attempt = 1; ; attempt += 1) {
    const updated = await apt('update');
    const isLocked = !updated.ok && updated.output.includes('lists/lock');
    if (!isLocked || attempt === listsLockAttempts) return updated;
    await sleep(listsLockPauseMs);
  }
}

/**
 * systemd starts a freshly installed service whatever RUNLEVEL says; tests and demo start their own.
 * @param {string} service
 */
async function stopService(service) {
  const outcome = existsSync('/run/systemd/system')
    ? await run('systemctl', ['disable', '--now', service])
    : existsSync(`/etc/init.d/${service}`)
      ? await run(`/etc/init.d/${service}`, ['stop'])
      : { ok: true, output: '' };
  if (outcome.ok) return;
  process.stderr.write(
    `processor: could not stop the service ${service}: ${lastLines(outcome.output)}\n`,
  );
}
