/** What was measured, by name: one number a round. */
export class Figures {
  readonly values = new Map<string, number[]>();

  note(name: string, value: number): void {
    const known = this.values.get(name) ?? [];
    this.values.set(name, [...known, value]);
    process.stderr.write(`${name.padEnd(34)} ${value.toFixed(Math.abs(value) < 100 ? 2 : 0)}\n`);
  }

  /** Of each round's own pair, so that drift of the machine cancels out; null without both. */
  ratio(over: string, under: string): number | null {
    const above = this.values.get(over);
    const below = this.values.get(under);
    if (above === undefined || below === undefined) return null;
    return Number(median(above.map((value, at) => value / (below[at] ?? Number.NaN))).toFixed(3));
  }

  summary(): Record<string, { median: number; least: number; most: number; rounds: number }> {
    const entries = [...this.values].map(([name, values]) => {
      const rounded = (value: number) => Number(value.toPrecision(5));
      return [
        name,
        {
          median: rounded(median(values)),
          least: rounded(Math.min(...values)),
          most: rounded(Math.max(...values)),
          rounds: values.length,
        },
      ] as const;
    });
    return Object.fromEntries(entries);
  }
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** The value below which this share of the values lies. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}
