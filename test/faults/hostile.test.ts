import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { reasons } from '../../src/core/types.ts';
import type { RunningService } from '../../tools/service.ts';
import { createHostileEntries, type HostileEntry, largeEntry } from './hostile-entries.ts';
import {
  deadLetterKey,
  openScenario,
  report,
  type Scenario,
  seed,
  stream,
  testLimitMs,
  times,
} from './scenario.ts';

const entries = times(5_000, 1_000_000);
const inBatch = 500;
/** Entries ahead of the service: what Redis holds meanwhile stays bounded. */
const mostAhead = 20_000;

function residentMb(service: RunningService): number {
  const status = readFileSync(`/proc/${service.process.pid}/status`, 'utf8');
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

async function send(scenario: Scenario, batch: readonly HostileEntry[]): Promise<void> {
  const pipeline = scenario.client.pipeline();
  for (const fields of batch) pipeline.call('XADD', stream, '*', ...fields);
  const answers = (await pipeline.exec()) ?? [];
  const failed = answers.find(([error]) => error !== null);
  if (failed !== undefined) throw failed[0];
}

async function waitForRoom(service: RunningService, sent: number): Promise<void> {
  const read = async () => {
    const sources = ['new', 'own_pending', 'claimed'];
    const counts = sources.map((source) =>
      service.metric(`processor_entries_read_total{source="${source}"}`),
    );
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
  };
  while (sent - (await read()) > mostAhead) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function reasonsOfLetters(scenario: Scenario): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (let from = '-'; ; ) {
    const page = await scenario.client.xrangeBuffer(deadLetterKey, from, '+', 'COUNT', 1000);
    for (const [, fields] of page) {
      const at = fields.findIndex(
        (field, place) => place % 2 === 0 && field.equals(Buffer.from('reason')),
      );
      const reason = String(fields[at + 1]);
      found.set(reason, (found.get(reason) ?? 0) + 1);
    }
    const last = page.at(-1);
    if (last === undefined || page.length < 1000) return found;
    from = `(${last[0].toString()}`;
  }
}

test(
  'hostile entries each end as a position, a message or a dead letter with a reason, in flat memory',
  async () => {
    const scenario = await openScenario({ seed, records: 0 });
    // One consumer name keeps the dead letters of a million entries.
    const service = scenario.start('one', {
      DEAD_LETTER_MAX_ENTRIES: '100000000',
      IN_FLIGHT_RECORDS: '20000',
    });
    await service.untilReady();
    const next = createHostileEntries(seed);
    const resident: number[] = [];
    for (let sent = 0; sent < entries; sent += inBatch) {
      const batch = Array.from({ length: inBatch }, (_, at) =>
        (sent + at) % 1000 === 999 ? largeEntry(seed, Math.floor((sent + at) / 1000)) : next(),
      );
      await send(scenario, batch);
      await waitForRoom(service, sent + inBatch);
      resident.push(residentMb(service));
    }
    await scenario.untilSettled();

    const outcome = (name: string) => service.metric(`processor_records_total{outcome="${name}"}`);
    const counts = {
      inserted: await outcome('inserted'),
      duplicate: await outcome('duplicate'),
      conflict: await outcome('conflict'),
      dead_letter: await outcome('dead_letter'),
      message: await outcome('message'),
      lost: await outcome('lost'),
    };
    const found = await reasonsOfLetters(scenario);
    const letters = [...found.values()].reduce((sum, count) => sum + count, 0);
    expect(letters).toBe(counts.dead_letter + counts.conflict);
    expect(
      [...found.keys()].filter((reason) => !reasons.some((known) => known === reason)),
    ).toEqual([]);
    expect(counts.lost).toBe(0);
    // Every entry has at least one record with an outcome, or is a good packet of none.
    expect(counts.dead_letter).toBeGreaterThan(entries / 2);
    expect(await service.metric('processor_conservation_residual_records')).toBe(0);
    expect(await service.health('ready')).toBe(200);
    const half = resident.length >> 1;
    const first = Math.max(...resident.slice(0, half));
    const last = Math.max(...resident.slice(half));
    expect(last).toBeLessThan(first * 1.3 + 50);
    expect(await service.end('SIGTERM')).toBe(0);
    report('hostile entries', {
      entries,
      ...counts,
      reasons: Object.fromEntries(found),
      rss_mb: { first_half: Math.round(first), second_half: Math.round(last) },
    });
  },
  testLimitMs,
);
