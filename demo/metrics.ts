import type { Outcome } from '../src/core/types.ts';

/** What the demo reads of the service's /metrics. */
export interface ServiceMetrics {
  readonly records: Readonly<Record<Outcome, number>>;
  readonly entriesRead: number;
  /** null while the service does not know. */
  readonly lag: number | null;
  readonly pending: number;
}

const SCRAPE_TIMEOUT_MS = 2_000;

/**
 * Scrapes `<origin>/metrics`.
 * @throws when there is no answer within 2 s, or another one than 200
 */
export async function scrape(origin: string): Promise<ServiceMetrics> {
  const response = await fetch(`${origin}/metrics`, {
    signal: AbortSignal.timeout(SCRAPE_TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`${origin}/metrics answered ${response.status}`);
  return readMetrics(await response.text());
}

/** Reads Prometheus' text format as far as the demo needs it: no escapes, no timestamps. */
export function readMetrics(text: string): ServiceMetrics {
  const samples = new Map<string, { labels: string; value: number }[]>();
  for (const line of text.split('\n')) {
    const found = /^([a-zA-Z_:][\w:]*)(\{.*\})? (\S+)$/.exec(line);
    if (found === null) continue;
    const [, name = '', labels = '', value] = found;
    const others = samples.get(name);
    if (others === undefined) samples.set(name, [{ labels, value: Number(value) }]);
    else others.push({ labels, value: Number(value) });
  }
  const sum = (name: string, label = ''): number | null => {
    const found = samples.get(name)?.filter(({ labels }) => labels.includes(label)) ?? [];
    return found.length === 0 ? null : found.reduce((total, { value }) => total + value, 0);
  };
  const of = (outcome: Outcome) => sum('processor_records_total', `outcome="${outcome}"`) ?? 0;
  return {
    records: {
      inserted: of('inserted'),
      duplicate: of('duplicate'),
      conflict: of('conflict'),
      dead_letter: of('dead_letter'),
      message: of('message'),
      lost: of('lost'),
    },
    entriesRead: sum('processor_entries_read_total') ?? 0,
    lag: sum('processor_stream_group_lag_entries'),
    pending: sum('processor_stream_group_pending_entries') ?? 0,
  };
}
