import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { findProgram } from '../tools/servers/programs.ts';
import type { Figures } from './figures.ts';
import type { Load } from './rows.ts';
import { imageOptions, untilDrained } from './service.ts';
import { type Stand, streamKey } from './stand.ts';

/** Records of the two runs; the smaller one warms the engine up, and both start and stop. */
const records = [10_000, 40_000] as const;

/**
 * Instructions that the service takes for a record, which do not depend on what else the machine does:
 * the deployed program under valgrind on real servers, the difference of a long run and a short one.
 * The engine compiles and collects on its main thread there, so that the count repeats; the kernel's
 * instructions are not counted. Nothing is noted where valgrind is not installed.
 */
export async function clientInstructions(
  stand: Stand,
  name: string,
  load: Load,
  figures: Figures,
): Promise<void> {
  const valgrind = findProgram('valgrind');
  if (valgrind === null) {
    process.stderr.write('no valgrind: instructions of the service are left out\n');
    return;
  }
  const perEntry = load.rows.length / load.entries.length;
  const counts: number[] = [];
  for (const count of records) counts.push(await countOne(stand, load, count / perEntry, valgrind));
  const [short = 0, long = 0] = counts;
  figures.note(`instructions_${name}`, (long - short) / (records[1] - records[0]));
}

async function countOne(stand: Stand, load: Load, entries: number, valgrind: string) {
  await stand.fill(load, entries);
  const counting = ['--tool=cachegrind', '--cache-sim=no', '--cachegrind-out-file=/dev/null'];
  const program = process.env.PROCESSOR_PROGRAM ?? '';
  const child = spawn(
    valgrind,
    [
      ...counting,
      '--smc-check=all-non-file',
      process.execPath,
      '--single-threaded',
      program,
      'run',
    ],
    {
      env: {
        PATH: process.env.PATH,
        NODE_OPTIONS: imageOptions,
        HTTP_PORT: '0',
        TIMESCALEDB: 'optional',
        REDIS_URL: stand.redisUrl,
        POSTGRES_URL: await stand.freshTable(),
        REDIS_TELEMETRY_STREAM: streamKey,
        // The program runs fifty times slower than it does alone.
        ...slowly,
      },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = once(child, 'exit');
  await Promise.race([untilDrained(stand.redis), ended]);
  child.kill('SIGTERM');
  await ended;
  const count = /I\s+refs:\s+([\d,]+)/.exec(stderr)?.[1];
  if (count === undefined) throw new Error(`valgrind: ${stderr.slice(-2000)}`);
  return Number(count.replaceAll(',', ''));
}

const slowly = {
  STALL_LIMIT_MS: '3600000',
  REDIS_CONNECT_TIMEOUT_MS: '60000',
  REDIS_COMMAND_TIMEOUT_MS: '60000',
  POSTGRES_CONNECT_TIMEOUT_MS: '60000',
};
