import { spawn } from 'node:child_process';

const parentPollMs = 500;
const keptCharacters = 64 * 1024;

/**
 * @typedef {object} Outcome
 * @property {boolean} ok
 * @property {string} output the end of what it printed
 */

/**
 * Runs a program to its end and keeps what it prints. When this process is asked to stop, or the
 * npm that started it is gone, the program ends first, so that no child process is left running.
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, cwd?: string, interruptible?: boolean }} [options]
 *   not interruptible: dpkg in the middle of an installation is waited for
 * @returns {Promise<Outcome>}
 */
export function run(command, args, options = {}) {
  const { interruptible = true, ...place } = options;
  return new Promise((resolve) => {
    const child = spawn(command, args, { ...place, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output = (output + text).slice(-keptCharacters);
      });
    }
    const release = endWithUs(child, interruptible);
    child.once('error', (error) => {
      release();
      resolve({ ok: false, output: error.message });
    });
    child.once('close', (code) => {
      release();
      resolve({ ok: code === 0, output });
    });
  });
}

/**
 * @param {import('node:child_process').ChildProcess} child
 * @param {boolean} interruptible
 * @returns {() => void} stops watching; ends this process if it was asked to stop meanwhile
 */
function endWithUs(child, interruptible) {
  /** @type {NodeJS.Signals | null} */
  let asked = null;
  /** @param {NodeJS.Signals} signal */
  const stop = (signal) => {
    asked ??= signal;
    if (interruptible) child.kill('SIGTERM');
  };
  const { ppid } = process;
  const watching = setInterval(() => {
    if (process.ppid !== ppid) stop('SIGHUP');
  }, parentPollMs);
  /** @type {readonly NodeJS.Signals[]} */
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  for (const signal of signals) process.on(signal, stop);
  return () => {
    clearInterval(watching);
    for (const signal of signals) process.off(signal, stop);
    // Without this handler the signal does what it does to any program.
    if (asked !== null) process.kill(process.pid, asked);
  };
}

/**
 * The last lines of a program's output, in one line.
 * @param {string} output
 * @param {number} [count]
 */
export function lastLines(output, count = 3) {
  return output.trim().split('\n').slice(-count).join(' | ');
}
