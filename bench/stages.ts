import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryPrefix } from '../tools/servers/system-user.ts';
import type { Figures } from './figures.ts';
import { createFindSource, type FindSource } from './regions.ts';
import type { Load } from './rows.ts';
import { runService } from './service.ts';
import type { Stand } from './stand.ts';

/** The stages of a record in the service, and the files whose functions belong to each. */
const stages: readonly (readonly [stage: string, files: RegExp])[] = [
  ['scan', /src\/teltonika\/(payload|device-ids|iso-time|text-arena)/],
  ['entry', /src\/(teltonika\/(entry|interpret|imei|validate)|core\/(entry-fields|byte-range))/],
  ['decode', /src\/teltonika\//],
  ['reply', /src\/stream\/(raw-|consumer|inspection|make-entry)/],
  ['acknowledge', /src\/stream\/|node_modules\/(@?ioredis|redis-|denque)/],
  ['order', /src\/db\/write-plan/],
  ['encoding', /src\/db\/(position-arrays|position-columns|binary-arrays)/],
  ['write', /src\/db\/|node_modules\/pg/],
  ['in_flight', /src\/core\/(in-flight|held-entry|acknowledgement)/],
  ['state', /src\/core\/device-/],
  ['metrics', /src\/observability\/|src\/core\/account|node_modules\/prom-client/],
  ['pipeline', /src\//],
];

interface Frame {
  readonly functionName: string;
  readonly url: string;
  readonly lineNumber: number;
}
interface Profile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: Frame;
    readonly children?: readonly number[];
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/**
 * What each stage costs a record, in CPU of the whole service: the deployed program on real servers,
 * sampled by its own profiler. The shares of the samples hold on a busy machine, where every stage is
 * slowed down alike; work of the other threads is shared out like that of the main thread.
 */
export async function stageCosts(
  stand: Stand,
  name: string,
  load: Load,
  figures: Figures,
): Promise<void> {
  const dir = mkdtempSync(temporaryPrefix('profile'));
  try {
    await stand.fill(load);
    const env = {
      REDIS_URL: stand.redisUrl,
      POSTGRES_URL: await stand.freshTable(),
      NODE_OPTIONS: `--cpu-prof --cpu-prof-interval=500 --cpu-prof-dir=${dir}`,
    };
    const { cpuMicros } = await runService(stand.redis, env, { records: load.rows.length });
    for (const [stage, share] of sharesOf(newestProfile(dir))) {
      figures.note(`stage_${name}_${stage}_us`, share * cpuMicros);
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** The profile of the process; the watchdog's thread writes a smaller one. */
function newestProfile(dir: string): Profile {
  const texts = readdirSync(dir).map((file) => readFileSync(join(dir, file), 'utf8'));
  const largest = texts.toSorted((a, b) => b.length - a.length)[0];
  return JSON.parse(largest ?? '');
}

/** The share of each stage in the time in which the main thread was not idle, from the first write on. */
function sharesOf({ nodes, samples, timeDeltas }: Profile): Map<string, number> {
  const findSource = createFindSource();
  const stageOf = new Map<number, string | null>();
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const visit = (id: number, above: string): void => {
    const node = byId.get(id);
    if (node === undefined) return;
    const own = stageOfFrame(node.callFrame, above, findSource);
    stageOf.set(id, own);
    for (const child of node.children ?? []) visit(child, own ?? above);
  };
  const [root] = nodes;
  if (root !== undefined) visit(root.id, 'node');
  const micros = new Map<string, number>();
  let total = 0;
  // Before it modules are loaded, which is no work of a record.
  const begin = samples.findIndex((id) => stageOf.get(id) === 'encoding');
  samples.forEach((id, index) => {
    const stage = stageOf.get(id) ?? null;
    const delta = timeDeltas[index] ?? 0;
    if (stage === null || index < begin) return;
    micros.set(stage, (micros.get(stage) ?? 0) + delta);
    total += delta;
  });
  return new Map([...micros].map(([stage, time]) => [stage, time / total]));
}

/** A function of Node or of a library belongs to the stage that calls it; null while idle. */
function stageOfFrame(
  { functionName, url, lineNumber }: Frame,
  above: string,
  findSource: FindSource,
): string | null {
  if (functionName === '(idle)') return null;
  if (functionName === '(garbage collector)') return 'collection';
  const source = findSource(url, lineNumber);
  return stages.find(([, files]) => files.test(source))?.[0] ?? above;
}
