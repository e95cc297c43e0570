import { fileURLToPath, pathToFileURL } from 'node:url';
import { type Migration, readMigrations } from '../src/db/migrator.ts';
import type { Figures } from './figures.ts';
import type { Load } from './rows.ts';
import { runService } from './service.ts';
import type { Stand } from './stand.ts';
import type { Loads } from './throughput.ts';

/** A built commit. */
interface Build {
  readonly name: 'base' | 'this';
  readonly program: string;
  readonly migrations: readonly Migration[];
  /** Options of Node beyond those of this commit's image. */
  readonly nodeOptions: string;
}

/**
 * Another commit and this one by turns, on the same loads and servers, each with its own schema.
 * @param checkout the other commit's folder, in which scripts/build.ts was run
 */
export async function againstCase(
  stand: Stand,
  checkout: string,
  loads: Loads,
  rounds: number,
  figures: Figures,
): Promise<void> {
  const builds = [
    await buildOf('base', pathToFileURL(`${checkout}/`)),
    await buildOf('this', new URL('../', import.meta.url)),
  ];
  const frames = loads.formB.get(10);
  for (let round = 1; round <= rounds; round += 1) {
    for (const build of builds) {
      await runBuild(stand, build, 'formA', loads.formA, figures);
      if (frames !== undefined) await runBuild(stand, build, 'formB10', frames, figures);
    }
  }
}

async function buildOf(name: Build['name'], checkout: URL): Promise<Build> {
  const migrations = await readMigrations(new URL('migrations/', checkout));
  const program = fileURLToPath(new URL('dist/processor.js', checkout));
  const nodeOptions = name === 'base' ? (process.env.BENCH_BASE_NODE_OPTIONS ?? '') : '';
  return { name, program, migrations, nodeOptions };
}

async function runBuild(
  stand: Stand,
  { name, program, migrations, nodeOptions }: Build,
  form: string,
  load: Load,
  figures: Figures,
): Promise<void> {
  await stand.fill(load);
  const url = await stand.freshTable(undefined, migrations);
  const env = { REDIS_URL: stand.redisUrl, POSTGRES_URL: url, NODE_OPTIONS: nodeOptions };
  const run = await runService(stand.redis, env, { records: load.rows.length, program });
  figures.note(`${name}_${form}`, run.recordsPerSecond);
  figures.note(`${name}_${form}_cpu_us`, run.cpuMicros);
}
