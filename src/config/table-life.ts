import type { ConfigProblem } from './types.ts';
import { variables } from './variables.ts';

const dayMs = 86_400_000;

/** Null where a value is missing or wrong, which `loadConfig` reports. */
export interface TableLife {
  readonly chunkIntervalMs: number | null;
  readonly lateHorizonMs: number | null;
  readonly columnstoreAfterMs: number | 'off' | null;
  readonly retentionMs: number | 'off' | null;
  readonly tsMaxPastMs: number | null;
}

/** The rule of each variable, as the report prints it. */
export const tableLifeRules = {
  columnstoreAfterMs: 'off, or at least LATE_HORIZON and CHUNK_INTERVAL together',
  retentionMs: 'off, or more than COLUMNSTORE_AFTER',
  tsMaxPastMs: 'at most RETENTION, or records would be accepted only to be dropped',
} as const;

/**
 * Reports storage settings that contradict each other: chunks are compressed before they are
 * dropped, and no record is accepted only to be dropped. TimescaleDB measures a chunk's age from
 * the end of its interval; LATE_HORIZON plus one interval keeps the chunk that is being filled
 * out of compression.
 */
export function tableLifeProblems(life: TableLife): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const report = (key: keyof typeof tableLifeRules, got: number, exampleMs: number) => {
    const expected = tableLifeRules[key];
    const { name } = variables[key];
    const example = `${name}=${days(exampleMs)}`;
    problems.push({ variable: name, got: days(got), expected, example });
  };
  const { chunkIntervalMs, lateHorizonMs, tsMaxPastMs } = life;
  const columnstoreAfterMs = numberOf(life.columnstoreAfterMs);
  const retentionMs = numberOf(life.retentionMs);

  if (columnstoreAfterMs !== null && lateHorizonMs !== null && chunkIntervalMs !== null) {
    const minMs = lateHorizonMs + chunkIntervalMs;
    if (columnstoreAfterMs < minMs) report('columnstoreAfterMs', columnstoreAfterMs, minMs);
  }
  if (retentionMs === null) return problems;
  if (columnstoreAfterMs !== null && retentionMs <= columnstoreAfterMs) {
    report('retentionMs', retentionMs, columnstoreAfterMs + dayMs);
  }
  if (tsMaxPastMs !== null && tsMaxPastMs > retentionMs) {
    report('tsMaxPastMs', tsMaxPastMs, retentionMs);
  }
  return problems;
}

function numberOf(value: number | 'off' | null): number | null {
  return value === 'off' ? null : value;
}

/** The duration as an operator writes it: whole days, otherwise hours. */
function days(ms: number): string {
  return ms % dayMs === 0 ? `${ms / dayMs}d` : `${Math.ceil(ms / 3_600_000)}h`;
}
