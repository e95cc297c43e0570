import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { type Tally, TallyHistogram } from './tally-histogram.ts';

export type MetricMaker = ReturnType<typeof createMetricMaker>;

/** Creates metrics in one registry, with every series of a counter at 0 from the start. */
export function createMetricMaker(registry: Registry) {
  const registers = [registry];
  return {
    plainCounter: (name: string, help: string) => new Counter({ name, help, registers }),
    /** A counter for what happens with each record: counted in a variable, read at a scrape. */
    tallyCounter(name: string, help: string): { inc(): void } {
      let pending = 0;
      new Counter({
        name,
        help,
        registers,
        collect() {
          this.inc(pending);
          pending = 0;
        },
      });
      return {
        inc() {
          pending += 1;
        },
      };
    },
    counter<Label extends string>(
      name: string,
      help: string,
      label: Label,
      values: readonly string[],
    ) {
      const counter = new Counter({ name, help, labelNames: [label], registers });
      for (const value of values) counter.inc(labels(label, value), 0);
      return counter;
    },
    counterOfTwo<First extends string, Second extends string>(
      name: string,
      help: string,
      values: Readonly<Record<First | Second, readonly string[]>>,
    ) {
      const [first, second] = twoLabels(name, values);
      const labelNames = [first[0], second[0]];
      const counter = new Counter<string>({ name, help, labelNames, registers });
      for (const series of combined(first, second)) counter.inc(series, 0);
      return counter;
    },
    gauge: (name: string, help: string) => new Gauge({ name, help, registers }),
    labelledGauge: <Label extends string>(
      name: string,
      help: string,
      labelNames: readonly Label[],
    ) => new Gauge({ name, help, labelNames: [...labelNames], registers }),
    histogram: (name: string, help: string, buckets: number[]) =>
      new Histogram({ name, help, buckets, registers }),
    labelledHistogram<Label extends string>(
      name: string,
      help: string,
      label: Label,
      values: readonly string[],
      buckets: number[],
    ) {
      const histogram = new Histogram({ name, help, labelNames: [label], buckets, registers });
      for (const value of values) histogram.zero(labels(label, value));
      return histogram;
    },
    /** A histogram for what happens with each record. @returns the series of each value */
    tallyHistogram<Value extends string>(
      name: string,
      help: string,
      label: string,
      values: readonly Value[],
      buckets: number[],
    ): (value: Value) => Tally {
      const labelNames: [string] = [label];
      const histogram = new TallyHistogram({ name, help, labelNames, buckets, registers });
      for (const value of values) histogram.series(value);
      return (value) => histogram.series(value);
    },
    histogramOfTwo<First extends string, Second extends string>(
      name: string,
      help: string,
      values: Readonly<Record<First | Second, readonly string[]>>,
      buckets: number[],
    ) {
      const [first, second] = twoLabels(name, values);
      const labelNames = [first[0], second[0]];
      const histogram = new Histogram<string>({ name, help, labelNames, buckets, registers });
      for (const series of combined(first, second)) histogram.zero(series);
      return histogram;
    },
  };
}

type LabelValues = readonly [label: string, values: readonly string[]];

function twoLabels(
  name: string,
  values: Readonly<Record<string, readonly string[]>>,
): [LabelValues, LabelValues] {
  const [first, second] = Object.entries(values);
  if (first === undefined || second === undefined) throw new TypeError(`${name}: two labels`);
  return [first, second];
}

function combined(
  [first, ofFirst]: LabelValues,
  [second, ofSecond]: LabelValues,
): Record<string, string>[] {
  return ofFirst.flatMap((a) => ofSecond.map((b) => ({ [first]: a, [second]: b })));
}

/** Sets initial values. @returns the gauge */
export function initialised<Label extends string>(
  gauge: Gauge<Label>,
  values: readonly (readonly [Partial<Record<Label, string>>, number])[],
): Gauge<Label> {
  for (const [series, value] of values) gauge.set(series, value);
  return gauge;
}

/** Sets each state to 0. @returns the gauge */
export function zeroed(gauge: Gauge<'state'>, states: readonly string[]): Gauge<'state'> {
  return initialised(
    gauge,
    states.map((state) => [{ state }, 0]),
  );
}

function labels<Label extends string>(label: Label, value: string): Partial<Record<Label, string>> {
  const series: Partial<Record<Label, string>> = {};
  series[label] = value;
  return series;
}
