import type { ConfigProblem } from './load.ts';
import { variables } from './variables.ts';

const dayMs = 86_400_000;

/** Null where a value was missing or wrong, which is told elsewhere. */
export interface TableLife {
  readonly chunkIntervalMs: number | null;
  readonly lateHorizonMs: number | null;
  readonly columnstoreAfterMs: number | 'off' | null;
  readonly retentionMs: number | 'off' | null;
  readonly tsMaxPastMs: number | null;
}

/** What is asked of each, in the words of the report. */
export const tableLifeRules = {
  columnstoreAfterMs: 'off, or at least LATE_HORIZON and CHUNK_INTERVAL together',
  retentionMs: 'off, or more than COLUMNSTORE_AFTER',
  tsMaxPastMs: 'at most RETENTION, or records would be accepted only to be dropped',
} as const;

/**
 * What is dropped was compressed before, and nothing is accepted that would be dropped at once.
 * A chunk's age is that of the end of its interval; an interval is added to LATE_HORIZON so that
 * the chunk being filled is never the one being compressed, whatever the horizon.
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
    const least = lateHorizonMs + chunkIntervalMs;
    if (columnstoreAfterMs < least) report('columnstoreAfterMs', columnstoreAfterMs, least);
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

/** As an operator writes it; hours where days are not whole. */
function days(ms: number): string {
  return ms % dayMs === 0 ? `${ms / dayMs}d` : `${Math.ceil(ms / 3_600_000)}h`;
}
