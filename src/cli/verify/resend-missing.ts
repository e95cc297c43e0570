import { audit } from '../audit.ts';
import { askConsent, type ChangeFlags } from '../change.ts';
import { auditFilter, type DeadLetterFilter } from '../dlq/filter.ts';
import { plural } from '../format.ts';
import { type CliIo, cliExits, print } from '../io.ts';
import { createPace } from '../pace.ts';
import { reportUnchanged, shardLines, shardsJson } from '../shard-text.ts';
import { type Answered, type Answers, overShards } from '../shards.ts';
import type { Stores } from '../stores.ts';
import { maxMissingEntries } from './account.ts';
import { nothingResent, type Resent, resendEntries } from './resend.ts';
import type { StreamVerified, VerifyRange } from './stream.ts';

export interface ResendFlags extends ChangeFlags {
  readonly resend: boolean;
  /** Maximum entries a second, of all shards together. */
  readonly rate: number;
  /** Seconds. */
  readonly timeout: number;
}

/** What verify found, before anything is resent. */
export interface Found {
  readonly json: object;
  readonly text: string;
  /** Exit codes: as it was found, and once nothing is missing any more. */
  readonly exit: number;
  readonly exitAfter: number;
  readonly verified: readonly Answered<StreamVerified>[];
}

/** Streams at the same time: each asks the database, which has two connections. */
const atOnce = 2;

/**
 * Prints what verify found and adds the entries of missing records to their streams again, with the
 * operator's consent. @returns the exit code
 */
export async function resendMissing(
  io: CliIo,
  flags: ResendFlags & VerifyRange,
  stores: Stores,
  found: Found,
): Promise<number> {
  if (!flags.json) print(io, flags, {}, found.text);
  const { entries, devices, isCut } = planOf(found);
  const what = `${plural(entries, 'entry', 'entries')} of ${plural(devices, 'device', 'devices')}`;
  const end = (exit: number, text: string, more: object) => {
    const result = { ...found.json, to_resend: { entries, devices }, ...more };
    if (flags.json || text !== '') print(io, flags, result, text);
    return exit;
  };
  if (entries === 0) return end(found.exit, 'nothing to resend', { resent: null });
  const consent = await askConsent(io, flags, `send ${what} again`);
  if (consent === 'refused') return end(cliExits.refused, '', { resent: null });
  if (consent === 'dry_run') {
    return end(found.exit, `would send ${what} again`, { dry_run: true, resent: null });
  }
  const { sum, shards } = await resendAll(io, flags, stores, found);
  if (isCut) io.stderr.write(`processor: ${maxMissingEntries} entries at a time: run it again\n`);
  const isWhole = sum.unconfirmed === 0 && shards.missing.length === 0 && !io.signal.aborted;
  const exit = isCut ? found.exit : found.exitAfter;
  const result = { ...sum, ...shardsJson(stores.config, shards, (one) => one) };
  const text = `resent ${what}: ${countsOf(sum)}${shardLines(shards.answered, countsOf)}`;
  return end(isWhole ? exit : cliExits.failed, text, { resent: result });
}

function planOf({ verified }: Found) {
  const all = verified.map(({ value }) => value.result.missing);
  return {
    entries: all.reduce((sum, { size }) => sum + size, 0),
    devices: new Set(all.flatMap((missing) => [...missing.values()])).size,
    isCut: all.some(({ size }) => size === maxMissingEntries),
  };
}

async function resendAll(
  io: CliIo,
  flags: ResendFlags & VerifyRange,
  stores: Stores,
  { verified }: Found,
): Promise<{ readonly sum: Resent; readonly shards: Answers<Resent> }> {
  const { signal } = io;
  const pace = createPace(flags.rate, signal);
  const options = { pace, timeoutMs: flags.timeout * 1000, signal };
  const work = verified.filter(({ value }) => value.result.missing.size > 0);
  const resent = new Map(work.map(({ store }) => [store, { ...nothingResent }]));
  const filter = auditFilter(stores.config, filterOf(flags));
  const answers = await overShards(
    work.map(({ store }) => store),
    async (store) => {
      const counts = resent.get(store) ?? { ...nothingResent };
      const missing = work.find((one) => one.store === store)?.value.result.missing;
      try {
        await resendEntries(stores, store, [...(missing?.keys() ?? [])], options, counts);
      } finally {
        // Here, so that a failure of Redis or the database leaves a line of what was done before it.
        await audit(io, flags, store, 'verify --resend', `${filter}: ${countsOf(counts)}`);
      }
    },
    atOnce,
  );
  reportUnchanged(io, answers.missing);
  const sum = sumOf([...resent.values()]);
  if (sum.unconfirmed > 0) reportUnconfirmed(io, sum.unconfirmed, flags.timeout);
  // Also of the shards that failed later: what was done there before.
  const answered = [...resent].map(([store, value]) => ({ store, value }));
  return { sum, shards: { answered, missing: answers.missing } };
}

function reportUnconfirmed(io: CliIo, count: number, seconds: number): void {
  const entries = plural(count, 'entry', 'entries');
  io.stderr.write(
    `processor: ${entries} not settled within ${seconds} s and left in the stream: does the service run? (processor status)\n`,
  );
}

function filterOf({ from, to, device }: VerifyRange): DeadLetterFilter {
  return {
    since: from,
    ...(to !== undefined && { until: to }),
    ...(device !== undefined && { device }),
  };
}

function sumOf(all: readonly Resent[]): Resent {
  const sum: Resent = { ...nothingResent };
  for (const one of all) {
    sum.stored += one.stored;
    sum.dead_lettered += one.dead_lettered;
    sum.unconfirmed += one.unconfirmed;
    sum.skipped += one.skipped;
  }
  return sum;
}

function countsOf(resent: Resent): string {
  return Object.entries(resent)
    .map(([name, entries]) => `${name}=${entries}`)
    .join(' ');
}
