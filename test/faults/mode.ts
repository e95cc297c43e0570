/** How thorough a run is, and by which chance. */

/** `npm run test:faults` sets it; `npm test` runs the same cases in their short form. */
export const isFull = process.env.FAULTS === 'full';

export function times(short: number, full: number): number {
  return isFull ? full : short;
}

const fixedSeed = 20_261_121;
/** Printed when a case fails; FAULTS_SEED=<it> chooses the same fleet and the same moments again. */
export const seed = Number(process.env.FAULTS_SEED ?? fixedSeed);

/** A case's timeout in milliseconds: far above what it takes on two busy cores. */
export const testLimitMs = times(300_000, 1_800_000);

/** What the full run measured, as one line of JSON on stdout. */
export function report(what: string, numbers: object): void {
  if (isFull) process.stdout.write(`${JSON.stringify({ measured: what, ...numbers })}\n`);
}
