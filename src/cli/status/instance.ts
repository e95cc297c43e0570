import { z } from 'zod';

/** What one instance reports of itself. */
export interface InstanceView {
  readonly url: string;
  readonly ready: Readiness;
  readonly records: number;
  readonly deadLetters: number;
  readonly inFlight: number;
  readonly residentBytes: number;
  /** Of each dependency whose breaker is not closed: `database is open`. */
  readonly breakers: readonly string[];
  /** Rows a batch since its start; null before the first. */
  readonly rowsPerBatch: number | null;
  readonly isPaused: boolean;
  /** Epoch milliseconds of its last commit; null before the first. */
  readonly lastCommitMs: number | null;
  /** Entries it counted as lost since its start. */
  readonly lostEntries: number;
}

/** The answer of `/health/ready`; the reasons are empty when it is ready. */
export interface Readiness {
  readonly ok: boolean;
  readonly reasons: readonly string[];
}

const timeoutMs = 3000;
const maxBytes = 4_194_304;

/** Reads an instance's `/metrics` and, beside it, `/health/ready`. @throws Error that says why not */
export async function viewInstance(url: string): Promise<InstanceView> {
  const [series, ready] = await Promise.all([readMetrics(url), readReadiness(url)]);
  const value = (name: string) => series.get(name) ?? 0;
  const lastCommit = value('processor_last_commit_timestamp_seconds');
  const batches = value('processor_batch_size_records_count');
  return {
    url,
    ready,
    records: sumOf(series, 'processor_records_total'),
    deadLetters: sumOf(series, 'processor_dead_letters_total'),
    inFlight: value('processor_inflight_records'),
    residentBytes: value('process_resident_memory_bytes'),
    breakers: breakersOf(series),
    rowsPerBatch: batches === 0 ? null : value('processor_batch_size_records_sum') / batches,
    isPaused: value('processor_consumption_paused') === 1,
    lastCommitMs: lastCommit === 0 ? null : lastCommit * 1000,
    lostEntries: sumOf(series, 'processor_stream_entries_lost_total'),
  };
}

/** Records that an instance read and cannot account for. @throws Error as above */
export async function readResidual(url: string): Promise<number> {
  return (await readMetrics(url)).get('processor_conservation_residual_records') ?? Number.NaN;
}

async function readMetrics(url: string): Promise<Map<string, number>> {
  const response = await ask(url);
  if (!response.ok) throw new Error(`answered ${response.status}`);
  const series = parseMetrics(await readBounded(response));
  if (!series.has('processor_inflight_records')) {
    throw new Error('answered, but not with the metrics of processor');
  }
  return series;
}

async function readReadiness(url: string): Promise<Readiness> {
  const response = await ask(new URL('health/ready', url).href);
  const text = await readBounded(response);
  if (response.ok) return { ok: true, reasons: [] };
  const reasons = reasonsOf(text);
  return {
    ok: false,
    reasons: reasons.length > 0 ? reasons : [`/health/ready answered ${response.status}`],
  };
}

const readySchema = z.object({ checks: z.record(z.string().max(40), z.string().max(200)) });

/** The parts that are not `ok`, with their state. */
function reasonsOf(text: string): string[] {
  try {
    const parsed = readySchema.safeParse(JSON.parse(text));
    if (!parsed.success) return [];
    return Object.entries(parsed.data.checks).flatMap(([part, state]) =>
      state === 'ok' ? [] : [`${part} ${state}`],
    );
  } catch (error) {
    // Something else answers on that port.
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

async function ask(url: string): Promise<Response> {
  try {
    return await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
  } catch (error) {
    throw new Error(unreachableText(error), { cause: error });
  }
}

const networkWords: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was closed',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ENOTFOUND: 'the host name is unknown',
  EAI_AGAIN: 'the host name could not be resolved',
  ETIMEDOUT: 'the connection timed out',
};

/** fetch says only that it failed; the reason is in its cause. */
function unreachableText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return `no answer within ${timeoutMs / 1000} s`;
  const { cause } = error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return networkWords[code] ?? (cause instanceof Error ? cause.message : error.message);
}

async function readBounded(response: Response): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const piece of response.body ?? []) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > maxBytes) throw new Error(`more than ${maxBytes} bytes of metrics`);
  }
  return text;
}

/** The text format's samples: series with its labels as written, to value. */
export function parseMetrics(text: string): Map<string, number> {
  const series = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const end = line.lastIndexOf('}') + 1;
    const nameEnd = end > 0 ? end : line.indexOf(' ');
    if (nameEnd <= 0) continue;
    const value = Number(line.slice(nameEnd).trim().split(' ', 1)[0]);
    if (!Number.isNaN(value)) series.set(line.slice(0, nameEnd), value);
  }
  return series;
}

function sumOf(series: ReadonlyMap<string, number>, name: string): number {
  let sum = 0;
  for (const [key, value] of series) {
    if (key === name || key.startsWith(`${name}{`)) sum += value;
  }
  return sum;
}

function breakersOf(series: ReadonlyMap<string, number>): string[] {
  return [...series].flatMap(([key, value]) => {
    if (value !== 1 || !key.startsWith('processor_circuit_breaker_state{')) return [];
    const dependency = /dependency="(\w+)"/.exec(key)?.[1];
    const state = /state="(\w+)"/.exec(key)?.[1];
    return state === 'closed' || dependency === undefined ? [] : [`${dependency} is ${state}`];
  });
}
