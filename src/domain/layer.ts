import type { DeviceId } from '../core/types.ts';
import { type BatchContext, keysOf, oldestKept } from './batch-context.ts';
import { candidatesOf } from './candidates.ts';
import type { Evaluation } from './evaluation.ts';
import { jobsOf } from './job.ts';
import { type Framed, frame, type Piece, pieceOf } from './piece.ts';
import type { DomainTransaction, Range } from './ports.ts';
import { type Reconciliation, recomputeInSteps } from './recompute.ts';
import { type LiveByDevice, type Open, type Settled, settle } from './settle.ts';
import type { LiveCrossing } from './types.ts';

/** What ranges of different devices came to. */
export interface Layer {
  readonly windows: number;
  readonly fixes: number;
  /** Ranges that begin before the oldest kept position. */
  readonly clamped: number;
  readonly inserted: number;
  readonly revived: number;
  readonly superseded: number;
  readonly unchanged: number;
  /** Devices whose previous fix contradicts a live crossing. */
  readonly contradicted: readonly DeviceId[];
  /** What a bound left over. */
  readonly rest: readonly Range[];
}

/** A framed piece with all that its computation needs. */
interface Reading {
  readonly framed: Framed;
  readonly evaluations: readonly Evaluation[];
  readonly live: readonly LiveCrossing[];
}

/**
 * Computes one range of each of some devices and writes the difference to the live crossings. Every
 * query is for all devices at once.
 */
export async function computeLayer(
  ranges: readonly Range[],
  context: BatchContext,
): Promise<Layer> {
  const floor = oldestKept(context);
  const kept = ranges.filter(({ until }) => until >= floor);
  const pieces = await readPieces(
    kept.map((range) => clamp(range, floor)),
    context,
  );
  const framed = await framePieces(pieces, context);
  const readings = await readCrossings(framed, context);
  const computed = await computeAll(readings, context);
  const settled = await settle(computed.open, computed.live, context);
  const written = await write([...settled.results, ...computed.results], computed.live, context);
  return {
    ...written,
    windows: framed.length,
    fixes: pieces.reduce((sum, { fixes }) => sum + fixes.length, 0),
    clamped: ranges.filter(({ since }) => since < floor).length,
    unchanged: computed.results.reduce((sum, { unchanged }) => sum + unchanged, 0),
    contradicted: computed.contradicted,
    rest: [...computed.rest, ...settled.rest],
  };
}

function clamp(range: Range, floor: number): Range {
  return range.since < floor ? { ...range, since: floor } : range;
}

async function readPieces(ranges: readonly Range[], context: BatchContext): Promise<Piece[]> {
  const { rangeRows, layerRows } = context.options.limits;
  const limit = Math.max(1, Math.min(rangeRows, Math.floor(layerRows / ranges.length)));
  const pages = await context.tx.readFixes(ranges, limit, context.contract.ignoredOf);
  return ranges.flatMap((range, index) => {
    const page = pages[index];
    return page === undefined ? [] : [pieceOf(range, page, limit)];
  });
}

/** Pieces with nothing to compute and nothing to retract are left out. */
async function framePieces(pieces: readonly Piece[], context: BatchContext): Promise<Framed[]> {
  const withFixes = pieces.filter(({ fixes }) => fixes.length > 0);
  const floor = oldestKept(context);
  const requests = withFixes.map(({ range: { device, since, until }, to }) => {
    const oldest = Math.max(floor, since - context.options.maxSilenceMs);
    return { device, since, until, floor: oldest, wantsLast: to === null };
  });
  const edges = await context.tx.readEdges(requests, context.contract.ignoredOf);
  const edgesOf = new Map(withFixes.map((piece, index) => [piece, edges[index] ?? null]));
  return pieces.flatMap((piece) => frame(piece, edgesOf.get(piece) ?? null) ?? []);
}

async function readCrossings(framed: readonly Framed[], context: BatchContext): Promise<Reading[]> {
  const { tx, contract, assignments } = context;
  const places = framed.map(({ piece: { range }, window: { from }, liveTo: to }) => {
    return { devices: keysOf(context, range.device), from, to };
  });
  const inWindows = await tx.readCrossings(places);
  const anywhere = await readAnywhere(framed, context);
  const evaluations = framed.map(({ piece: { range }, window }, index) => {
    if (window.fixes.length === 0) return [];
    const own = (inWindows[index] ?? []).map(({ geofence }) => geofence);
    const touched = [...own, ...(anywhere[index] ?? [])];
    return candidatesOf(window, contract.index, assignments.get(range.device) ?? [], touched);
  });
  const before = await readBefore(framed, evaluations, context);
  return framed.map((one, index) => ({
    framed: one,
    evaluations: evaluations[index] ?? [],
    live: [...(before[index] ?? []), ...(inWindows[index] ?? [])],
  }));
}

/** Without a fix before, a device may be inside of a geofence anywhere. */
async function readAnywhere(framed: readonly Framed[], context: BatchContext) {
  const places = framed.map(({ piece: { range }, window: { previous, fixes, from: to } }) => {
    const isAsked = previous === null && fixes.length > 0;
    return { devices: isAsked ? keysOf(context, range.device) : [], to };
  });
  return await context.tx.readGeofences(places);
}

/** The last live crossing of each evaluation before its window: the state that it starts from. */
async function readBefore(
  framed: readonly Framed[],
  evaluations: readonly (readonly Evaluation[])[],
  { tx }: BatchContext,
): Promise<LiveCrossing[][]> {
  const requests = evaluations.flatMap((own, index) =>
    own.map(({ geofence, assignment: { device, subject }, from, to }) => {
      const until = framed[index]?.window.from ?? -Infinity;
      return { index, device, subject, geofence: geofence.id, from, to, until };
    }),
  );
  const found = await tx.readLast(requests);
  const before = framed.map((): LiveCrossing[] => []);
  for (const [position, { index }] of requests.entries()) {
    const crossing = found[position];
    if (crossing !== null && crossing !== undefined) before[index]?.push(crossing);
  }
  return before;
}

interface Computed {
  readonly results: Reconciliation[];
  readonly open: Open[];
  readonly live: LiveByDevice;
  readonly contradicted: DeviceId[];
  readonly rest: Range[];
}

async function computeAll(readings: readonly Reading[], context: BatchContext): Promise<Computed> {
  const sum: Computed = { results: [], open: [], live: new Map(), contradicted: [], rest: [] };
  for (const reading of readings) {
    const { range, rest } = reading.framed.piece;
    const own = await computeOne(reading, context);
    sum.results.push(...own);
    sum.live.set(range.device, [...reading.live]);
    for (const unsettled of own.flatMap((result) => result.unsettled)) {
      sum.open.push({ range, unsettled, cursor: unsettled.last.ts });
    }
    if (isContradicted(own, context)) sum.contradicted.push(range.device);
    if (rest !== null) sum.rest.push(restOf(rest, reading, own));
  }
  return sum;
}

async function computeOne(
  { framed, evaluations, live }: Reading,
  { options, pause }: BatchContext,
): Promise<Reconciliation[]> {
  const results: Reconciliation[] = [];
  for (const job of jobsOf(framed, evaluations, live)) {
    const steps = recomputeInSteps(job.window, job.evaluations, job.live, options);
    let step = steps.next();
    for (; !step.done; step = steps.next()) await pause();
    results.push(step.value);
  }
  return results;
}

/**
 * A piece without a usable fix cannot show whether its crossings were what later ones follow from, so
 * when it retracts one, everything after it is computed again.
 */
function restOf(rest: Range, { framed }: Reading, results: readonly Reconciliation[]): Range {
  const hasRetracted = results.some(({ supersede }) => supersede.length > 0);
  const isBlind = framed.window.fixes.length === 0;
  return isBlind && hasRetracted ? { ...rest, until: Infinity } : rest;
}

/** Beyond the horizon, edits of geofences do not reach: a contradiction there is expected. */
function isContradicted(
  results: readonly Reconciliation[],
  { options, nowMs }: BatchContext,
): boolean {
  const since = nowMs - options.recomputeHorizonMs;
  return results.some(({ mismatches }) =>
    mismatches.some((crossing) => crossing !== null && crossing.afterTs >= since),
  );
}

async function write(
  results: readonly Settled[],
  live: LiveByDevice,
  { tx }: BatchContext,
): Promise<Pick<Layer, 'inserted' | 'revived' | 'superseded'>> {
  const obsolete = new Set(results.flatMap(({ supersede }) => supersede));
  const superseded = await tx.supersede(await retractable(obsolete, live, tx));
  const inserted = await tx.insert(results.flatMap(({ insert }) => insert));
  return { ...inserted, superseded };
}

/**
 * Those of the crossings whose position is still stored. A position may be missing between others too:
 * late ones may arrive after their device was deleted.
 */
async function retractable(
  obsolete: ReadonlySet<string>,
  live: LiveByDevice,
  tx: DomainTransaction,
): Promise<readonly string[]> {
  const found = [...live].flatMap(([device, crossings]) =>
    crossings
      .filter(({ id }) => obsolete.has(id))
      .map(({ id, afterTs: ts }) => ({ id, device, ts })),
  );
  const stored = await tx.areStored(found);
  return found.filter((_, index) => stored[index]).map(({ id }) => id);
}
