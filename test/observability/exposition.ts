import { expect } from 'vitest';

export interface Series {
  readonly name: string;
  readonly labels: string;
  readonly value: string;
}

// prom-client writes Nan, which Prometheus reads: Go's ParseFloat ignores the case.
const sample = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9.eE+-]+|[+-]Inf|NaN|Nan)$/;
const labelPair = /[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"/y;
const suffixes: Readonly<Record<string, string>> = {
  histogram: '(?:_bucket|_sum|_count)?',
  summary: '(?:_sum|_count)?',
};

/**
 * Reads the Prometheus text format, strictly: every family has one HELP and one TYPE before its
 * samples and is in one piece, no series is there twice, counters end in _total and alone do.
 */
export function readExposition(text: string): readonly Series[] {
  expect(text.endsWith('\n')).toBe(true);
  const series: Series[] = [];
  const types = new Map<string, string>();
  const helped = new Set<string>();
  let family = '';
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const [, comment, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line) ?? [];
    if (comment === 'HELP') {
      expect(helped.has(name), `one HELP of ${name}`).toBe(false);
      helped.add(name);
    } else if (comment === 'TYPE') {
      expect(helped.has(name), `HELP before TYPE of ${name}`).toBe(true);
      expect(types.has(name), `one TYPE of ${name}`).toBe(false);
      expect(['counter', 'gauge', 'histogram', 'summary']).toContain(rest);
      expect(name.endsWith('_total'), `${name} is a ${rest}`).toBe(rest === 'counter');
      types.set(name, rest);
      family = name;
    } else {
      const [, found = '', labels = '', value = ''] = sample.exec(line) ?? [];
      const ofFamily = new RegExp(`^${family}${suffixes[types.get(family) ?? ''] ?? ''}$`);
      expect(found, `a sample of ${family}: ${line}`).toMatch(ofFamily);
      expect(isLabels(labels), `labels of ${line}`).toBe(true);
      series.push({ name: found, labels, value });
    }
  }
  const keys = series.map(({ name, labels }) => `${name}{${labels}}`);
  expect(new Set(keys).size, 'every series once').toBe(keys.length);
  return series;
}

function isLabels(text: string): boolean {
  if (text === '') return true;
  let at = 0;
  for (;;) {
    labelPair.lastIndex = at;
    const pair = labelPair.exec(text);
    if (pair === null) return false;
    at += pair[0].length;
    if (at === text.length) return true;
    if (text[at] !== ',') return false;
    at += 1;
  }
}
