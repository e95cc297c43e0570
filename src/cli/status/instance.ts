/** What one instance's metrics say of it. */
export interface InstanceView {
  readonly url: string;
  readonly records: number;
  readonly deadLetters: number;
  readonly inFlight: number;
  readonly residentBytes: number;
  /** Of each dependency whose breaker is not closed: `database open`. */
  readonly breakers: readonly string[];
  /** Rows a batch since its start; null before the first. */
  readonly rowsPerBatch: number | null;
  readonly isPaused: boolean;
  /** Epoch milliseconds of its last commit; null before the first. */
  readonly lastCommitMs: number | null;
}

const timeoutMs = 3000;
const mostBytes = 4_194_304;

/** Reads an instance's `/metrics`. @throws Error when it does not answer with metrics */
export async function viewInstance(url: string): Promise<InstanceView> {
  const series = await readMetrics(url);
  const value = (name: string) => series.get(name) ?? 0;
  const lastCommit = value('processor_last_commit_timestamp_seconds');
  const batches = value('processor_batch_size_records_count');
  return {
    url,
    records: sumOf(series, 'processor_records_total'),
    deadLetters: sumOf(series, 'processor_dead_letters_total'),
    inFlight: value('processor_inflight_records'),
    residentBytes: value('process_resident_memory_bytes'),
    breakers: breakersOf(series),
    rowsPerBatch: batches === 0 ? null : value('processor_batch_size_records_sum') / batches,
    isPaused: value('processor_consumption_paused') === 1,
    lastCommitMs: lastCommit === 0 ? null : lastCommit * 1000,
  };
}

/** Records that an instance read and cannot account for. @throws Error as above */
export async function readResidual(url: string): Promise<number> {
  return (await readMetrics(url)).get('processor_conservation_residual_records') ?? Number.NaN;
}

async function readMetrics(url: string): Promise<Map<string, number>> {
  const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
  if (!response.ok) throw new Error(`answered ${response.status}`);
  const series = parseMetrics(await readBounded(response));
  if (!series.has('processor_inflight_records')) throw new Error('these are not our metrics');
  return series;
}

async function readBounded(response: Response): Promise<string> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const piece of response.body ?? []) {
    text += decoder.decode(piece, { stream: true });
    if (text.length > mostBytes) throw new Error(`more than ${mostBytes} bytes of metrics`);
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
    return state === 'closed' || dependency === undefined ? [] : [`${dependency} ${state}`];
  });
}
