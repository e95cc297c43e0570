/** `npm run test:directus`: the domain with a real Directus; CONTRIBUTING.md says what it needs. */
import { parseArgs } from 'node:util';
import { provideDirectus } from './install.ts';
import { createReport } from './report.ts';
import { runScenario } from './scenario.ts';
import { Unavailable } from './unavailable.ts';

const usage = `usage: npm run test:directus -- [options]
  --install   installs and compiles Directus, no more
  --record    writes test/fixtures/directus/snapshot.yaml instead of comparing with it
  --seed <n>  routes of the simulated fleet (1)
exit codes: 0 all checks passed, 1 a check failed, 2 wrong usage, 3 Directus cannot run here`;

interface Options {
  readonly installOnly: boolean;
  readonly record: boolean;
  readonly seed: number;
}

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => interrupted.abort(new Error(`interrupted by ${signal}`)));
}

function readOptions(args: readonly string[]): Options | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', short: 'h' },
      install: { type: 'boolean', default: false },
      record: { type: 'boolean', default: false },
      seed: { type: 'string', default: '1' },
    },
  });
  if (values.help) return 'help';
  if (!/^\d{1,15}$/.test(values.seed)) throw new RangeError(`--seed: a number, not ${values.seed}`);
  return { installOnly: values.install, record: values.record, seed: Number(values.seed) };
}

async function runAll({ installOnly, record, seed }: Options): Promise<void> {
  const { stdout } = process;
  const installation = await provideDirectus(stdout);
  if (installOnly) return;
  const report = createReport(stdout);
  const { signal } = interrupted;
  const run = { installation, record, seed, report, signal };
  const hasPostgis = await runScenario({ ...run, shape: 'json' });
  if (hasPostgis) await runScenario({ ...run, shape: 'geometry' });
  else stdout.write('skipped shapes as geometry: PostgreSQL has no PostGIS\n');
  stdout.write(`${report.passed} checks passed\n`);
}

async function main(args: readonly string[]): Promise<number> {
  let options: Options | 'help';
  try {
    options = readOptions(args);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n${usage}\n`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  try {
    await runAll(options);
    return 0;
  } catch (error) {
    const reason = error instanceof Unavailable ? error.message : describe(error);
    process.stderr.write(`test:directus: ${reason}\n`);
    return error instanceof Unavailable ? 3 : 1;
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause === undefined ? error.message : `${error.message}; ${describe(cause)}`;
}

process.exitCode = await main(process.argv.slice(2));
// What the run waited for when it was interrupted would keep this process for minutes.
if (interrupted.signal.aborted) process.exit();
