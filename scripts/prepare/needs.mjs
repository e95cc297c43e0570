import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * Something of the system that a script uses and npm does not bring.
 * @typedef {object} Need
 * @property {string} name what is missing, for a machine without Debian's packages
 * @property {string} package Debian's name for it
 * @property {string} why
 * @property {boolean} required without it the script cannot run
 * @property {string} [instead] what else helps
 * @property {string} [service] the service of Debian's package, which must not stay running
 */

/** @typedef {'demo' | 'test' | 'bench' | 'start' | undefined} Purpose */

/**
 * What the script needs and this machine does not have.
 * @param {Purpose} purpose
 * @param {NodeJS.ProcessEnv} env
 * @returns {readonly Need[]}
 */
export function missingNeeds(purpose, env) {
  const needs = [libatomic(env), redis(purpose, env), psql(purpose, env)];
  return needs.filter((need) => need !== null);
}

/**
 * @param {NodeJS.ProcessEnv} env
 * @returns {Need | null}
 */
function libatomic(env) {
  if (process.platform !== 'linux' || findProgram('apt-get', env) === null || hasLibatomic())
    return null;
  return { name: 'libatomic', package: 'libatomic1', why: 'Node 26 uses it', required: true };
}

/** ldconfig is in a folder that only root has in PATH. */
function hasLibatomic() {
  const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;
  const { stdout, status } = spawnSync('ldconfig', ['-p'], {
    encoding: 'utf8',
    env: { ...process.env, PATH },
  });
  if (status === 0) return stdout.includes('libatomic.so.1');
  return ['/usr/lib', '/usr/lib64', '/lib'].some((dir) => existsSync(join(dir, 'libatomic.so.1')));
}

/**
 * @param {Purpose} purpose
 * @param {NodeJS.ProcessEnv} env
 * @returns {Need | null}
 */
function redis(purpose, env) {
  if (purpose === undefined || purpose === 'start') return null;
  if (findProgram('redis-server', env) !== null) return null;
  const found = { name: 'redis-server', package: 'redis-server', service: 'redis-server' };
  if (purpose === 'demo') {
    if (env.REDIS_URL || env.REDIS_URL_FILE) return null;
    const instead = 'set REDIS_URL and POSTGRES_URL to use running servers';
    return { ...found, why: 'the demo starts a Redis', required: true, instead };
  }
  if (purpose === 'bench') {
    if (env.BENCH_REDIS_URL) return null;
    const instead = 'set BENCH_REDIS_URL and BENCH_DATABASE_URL to use running servers';
    return { ...found, why: 'the benchmark starts a Redis', required: true, instead };
  }
  const given = Boolean(env.TEST_REDIS_URL) || mayHaveEngine(env);
  return {
    ...found,
    why: given
      ? 'tests that start a Redis of their own fail without it'
      : 'the tests start a Redis',
    required: !given,
    instead: 'set TEST_REDIS_URL and TEST_DATABASE_URL to use running servers for most tests',
  };
}

/**
 * Whether there is a Docker engine to ask; whether it answers, the tests find out.
 * @param {NodeJS.ProcessEnv} env
 */
function mayHaveEngine(env) {
  return Boolean(env.DOCKER_HOST) || existsSync('/var/run/docker.sock');
}

/**
 * @param {Purpose} purpose
 * @param {NodeJS.ProcessEnv} env
 * @returns {Need | null}
 */
function psql(purpose, env) {
  if (purpose !== 'test' || findProgram('psql', env) !== null) return null;
  const why = 'tests that run psql are skipped without it';
  return { name: 'psql', package: 'postgresql-client', why, required: false };
}

/**
 * The program in one of the folders of PATH.
 * @param {string} name
 * @param {NodeJS.ProcessEnv} env
 */
export function findProgram(name, env) {
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    if (folder === '') continue;
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
