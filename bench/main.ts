import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { againstCase } from './against.ts';
import { clientInstructions } from './client-instructions.ts';
import { decoderRound, installDecoders } from './decoder.ts';
import { contractCosts } from './domain/contract.ts';
import { editCase } from './domain/edit.ts';
import { triggerInstructions } from './domain/instructions.ts';
import { stepCosts } from './domain/step.ts';
import { triggerCosts } from './domain/trigger.ts';
import { catchUpCase, visibleCase } from './domain/worker.ts';
import { Figures, median } from './figures.ts';
import { growthCases } from './growth.ts';
import { serverInstructions } from './instructions/server.ts';
import { capacityCase, latencyCases } from './latency.ts';
import { migrationCase } from './migration.ts';
import { renderPerformance } from './report.ts';
import { makeLoad } from './rows.ts';
import { backlogCase, scaleCases, startUpCase } from './scale.ts';
import { stageCosts } from './stages.ts';
import { openStand } from './stand.ts';
import { makeLoads, throughputRound } from './throughput.ts';

/**
 * `npm run bench`. BENCH_ROUNDS (5), BENCH_RECORDS (300000, a third of which warms up), BENCH_BACKLOG
 * (1000000; 0 leaves it out), BENCH_ONLY (throughput,decoder,stages,client_instructions,latency,scale,
 * growth,start,backlog,instructions,migration,against; domain_step,domain_trigger,domain_contract,
 * domain_visible,domain_catch_up,domain_edit, or domain for these), BENCH_MIGRATION_ROWS (20000000; the
 * table that the newest migration changes) and BENCH_EDIT_DAYS (3; days of positions that an edited
 * geofence is computed over) choose how much. BENCH_BASE is a checkout of another commit with its dist,
 * which `against` compares, and BENCH_BASE_NODE_OPTIONS what its Node gets besides. What BENCH_ONLY leaves
 * out keeps the figures of the newest whole run. `npm run bench -- instructions` is the same as
 * BENCH_ONLY=instructions.
 */
const rounds = Number(process.env.BENCH_ROUNDS ?? 5);
const records = Number(process.env.BENCH_RECORDS ?? 300_000);
const backlog = Number(process.env.BENCH_BACKLOG ?? 1_000_000);
const named = process.argv.slice(2);
const only = named.length > 0 ? named : (process.env.BENCH_ONLY?.split(',') ?? null);
const migrationRows = Number(process.env.BENCH_MIGRATION_ROWS ?? 20_000_000);
const editDays = Number(process.env.BENCH_EDIT_DAYS ?? 3);
const isAsked = (part: string) =>
  only === null || only.includes(part) || (part.startsWith('domain_') && only.includes('domain'));

// What is deployed is measured: the built program, with the image's options of Node.
await import('../scripts/build.ts');
process.env.PROCESSOR_PROGRAM = fileURLToPath(new URL('../dist/processor.js', import.meta.url));

/** The fleet's calendar is fixed to the day, so that the same day gives the same entries. */
const baseTime = Math.floor(Date.now() / 86_400_000) * 86_400_000;
const figures = new Figures();
const say = (text: string) => process.stderr.write(`\n${text}\n`);

if (isAsked('decoder')) {
  say('decoders alone');
  const { folder, remove } = installDecoders();
  for (let round = 0; round <= rounds; round += 1) {
    decoderRound(round === 0 ? new Figures() : figures, folder);
  }
  remove();
}

if (isAsked('instructions')) {
  say('instructions of the server');
  await serverInstructions(figures);
}
if (isAsked('domain_step')) {
  say('geofences: the step function');
  stepCosts(figures);
}
if (isAsked('domain_trigger')) {
  say('geofences: instructions of the trigger');
  await triggerInstructions(figures);
}

const stand = await openStand();
const loads = makeLoads(records, baseTime);
try {
  if (isAsked('throughput')) {
    say('throughput: a warm-up round, not counted');
    await throughputRound(stand, loads, new Figures());
    for (let round = 1; round <= rounds; round += 1) {
      say(`throughput: round ${round} of ${rounds}`);
      await throughputRound(stand, loads, figures);
    }
  }
  if (isAsked('stages')) {
    say('stages');
    const b10 = loads.formB.get(10);
    await stageCosts(stand, 'formA', loads.formA, figures);
    if (b10 !== undefined) await stageCosts(stand, 'formB10', b10, figures);
  }
  if (isAsked('client_instructions')) {
    say('instructions of the service');
    const b10 = loads.formB.get(10);
    await clientInstructions(stand, 'formA', loads.formA, figures);
    if (b10 !== undefined) await clientInstructions(stand, 'formB10', b10, figures);
  }
  if (isAsked('latency')) {
    say('latency from XADD to commit');
    const capacity = await capacityCase(stand, loads.formA, figures);
    const needed = Math.ceil(capacity * 0.8 * 14);
    await latencyCases(stand, makeLoad('a', 1, needed, baseTime), capacity, figures);
  }
  if (isAsked('start')) {
    say('start');
    await startUpCase(stand, figures);
  }
  if (isAsked('scale')) {
    say('devices, batches, instances');
    await scaleCases(stand, { rounds, records, baseTime }, figures);
  }
  if (isAsked('growth')) {
    say('chunks, IO values, cold devices, compressed chunks');
    await growthCases(stand, { rounds, records, baseTime }, figures);
  }
  if (isAsked('backlog') && backlog > 0) {
    say('memory with a long backlog');
    await backlogCase(stand, backlog, baseTime, figures);
  }
  const { BENCH_BASE: base } = process.env;
  if (base !== undefined && isAsked('against')) {
    say('another commit and this one');
    await againstCase(stand, base, loads, rounds, figures);
  }
  if (only?.includes('migration')) {
    say('the newest migration on a large table');
    await migrationCase(stand, migrationRows, figures);
  }
  if (isAsked('domain_trigger')) {
    say('geofences: the trigger');
    await triggerCosts(stand, rounds, figures);
  }
  if (isAsked('domain_contract')) {
    say('geofences: load and poll');
    await contractCosts(stand, figures);
  }
  if (isAsked('domain_visible')) {
    say('geofences: stored to visible');
    await visibleCase(stand, baseTime, figures);
  }
  if (isAsked('domain_catch_up')) {
    say('geofences: catch-up');
    await catchUpCase(stand, baseTime, figures);
  }
  if (isAsked('domain_edit')) {
    say('geofences: an edit');
    await editCase(stand, editDays, baseTime, figures);
  }
} finally {
  await stand.close();
}

const npmBest = [...figures.values.keys()]
  .filter((name) => name.startsWith('npm_'))
  .toSorted((a, b) => median(figures.values.get(b) ?? []) - median(figures.values.get(a) ?? []))[0];
/** Parts that are newer than the rest, and since when. */
const parts: Readonly<Record<string, string>> = {};
const result = {
  at: new Date().toISOString(),
  machine: {
    cpus: cpus().length,
    model: cpus()[0]?.model ?? 'unknown',
    memory_bytes: totalmem(),
    node: process.versions.node,
    postgres: stand.postgres,
    timescaledb: stand.timescaledb,
  },
  parts,
  rounds,
  records,
  sha256: { formA: loads.formA.sha256, formB10: loads.formB.get(10)?.sha256 },
  ratios: {
    formA_floor: figures.ratio('formA', 'floor'),
    formB10_floor: figures.ratio('formB10', 'floor'),
    formA_idempotent: figures.ratio('formA', 'idempotent'),
    formB10_idempotent: figures.ratio('formB10', 'idempotent_formB10'),
    formA_perEntry: figures.ratio('formA', 'perEntry'),
    formA_values: figures.ratio('formA', 'values'),
    decoder_npm: npmBest === undefined ? null : figures.ratio('decoder_with_attributes', npmBest),
    duplicates_fresh: figures.ratio('duplicates', 'formA'),
    devices_1000000_100: figures.ratio('devices_1000000', 'devices_100'),
    chunks_30_1: figures.ratio('chunks_30', 'chunks_1'),
    compressed_duplicates_fresh: figures.ratio('compressed_duplicates', 'compressed_fresh'),
    this_base_formA: figures.ratio('this_formA', 'base_formA'),
    this_base_formB10: figures.ratio('this_formB10', 'base_formB10'),
  },
  figures: figures.summary(),
};
export type BenchResult = typeof result;

const folder = new URL('results/', import.meta.url);
mkdirSync(folder, { recursive: true });
const newest = new URL('latest.json', folder);
const whole = only === null || !existsSync(newest) ? result : completed(result, only);
const text = `${JSON.stringify(whole, null, 2)}\n`;
writeFileSync(newest, text);
writeFileSync(new URL(`${result.at.replaceAll(/[:.]/g, '-')}.json`, folder), text);
writeFileSync(new URL('../docs/performance.md', import.meta.url), renderPerformance(whole));
process.stdout.write(text);

/** A run of some parts, with the newest whole run for the others; `parts` names the newer ones. */
function completed(part: BenchResult, asked: readonly string[]): BenchResult {
  const before: BenchResult = JSON.parse(readFileSync(newest, 'utf8'));
  const measured = Object.entries(part.ratios).filter(([, value]) => value !== null);
  const newer = Object.fromEntries(asked.map((name) => [name, part.at]));
  return {
    ...before,
    parts: { ...before.parts, ...newer },
    ratios: { ...before.ratios, ...Object.fromEntries(measured) },
    figures: { ...before.figures, ...part.figures },
  };
}
