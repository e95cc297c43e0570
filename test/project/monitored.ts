import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { z } from 'zod';
import { createMetrics } from '../../src/observability/metrics.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const prometheusFolder = `${root}deploy/prometheus`;

const ruleFile = z.object({
  groups: z.array(
    z.object({
      name: z.string(),
      rules: z.array(
        z.union([
          z.strictObject({ record: z.string(), expr: z.string() }),
          z.strictObject({
            alert: z.string().regex(/^Processor[A-Z]/),
            expr: z.string(),
            for: z.string().optional(),
            labels: z.strictObject({ severity: z.enum(['page', 'ticket']) }),
            annotations: z.strictObject({
              summary: z.string().min(10),
              description: z.string().min(10),
              runbook_url: z.string(),
            }),
          }),
        ]),
      ),
    }),
  ),
});

const ruleTestFile = z.object({
  tests: z.array(
    z.object({
      name: z.string(),
      input_series: z.array(z.object({ series: z.string(), values: z.string() })),
      promql_expr_test: z.array(
        z.object({
          expr: z.string(),
          exp_samples: z.array(z.object({ labels: z.string(), value: z.number() })),
        }),
      ),
    }),
  ),
});
export type RuleTest = z.infer<typeof ruleTestFile>['tests'][number];

const place = z.object({ x: z.number(), y: z.number(), w: z.number(), h: z.number() });
const source = z.object({ type: z.literal('prometheus'), uid: z.string() });
const target = z.looseObject({ expr: z.string().min(2), refId: z.string(), datasource: source });
const panel = z.looseObject({
  id: z.int(),
  type: z.string(),
  title: z.string().min(3),
  description: z.string().optional(),
  gridPos: place,
  datasource: source,
  targets: z.array(target).optional(),
});
const dashboardFile = z.looseObject({
  uid: z.string().min(1),
  title: z.string().min(1),
  schemaVersion: z.int(),
  templating: z.object({
    list: z.array(z.looseObject({ name: z.string(), query: z.string(), datasource: source })),
  }),
  annotations: z.object({ list: z.array(z.looseObject({ expr: z.string(), datasource: source })) }),
  panels: z.array(panel),
});

export async function readRules() {
  const text = await readFile(`${prometheusFolder}/rules/processor.yml`, 'utf8');
  const rules = ruleFile.parse(parse(text)).groups.flatMap((group) => group.rules);
  return {
    rules,
    alerts: rules.flatMap((rule) => ('alert' in rule ? [rule] : [])),
    recorded: rules.flatMap((rule) => ('record' in rule ? [rule.record] : [])),
  };
}

/** The files of promtool's unit tests, and what stands in them. */
export async function readRuleTests(): Promise<{ files: string[]; tests: RuleTest[] }> {
  const folder = `${prometheusFolder}/tests`;
  const files = (await readdir(folder)).map((name) => `${folder}/${name}`);
  const texts = await Promise.all(files.map((file) => readFile(file, 'utf8')));
  return { files, tests: texts.flatMap((text) => ruleTestFile.parse(parse(text)).tests) };
}

export async function readDashboards() {
  const folder = `${root}deploy/grafana/dashboards`;
  const files = (await readdir(folder)).filter((name) => name.endsWith('.json'));
  return Promise.all(
    files.map(async (file) =>
      dashboardFile.parse(JSON.parse(await readFile(`${folder}/${file}`, 'utf8'))),
    ),
  );
}

/** All expressions that Grafana sends, as Prometheus gets them. */
export async function readQueries(): Promise<string[]> {
  const dashboards = await readDashboards();
  return dashboards
    .flatMap(({ panels, annotations }) => [
      ...panels.flatMap(({ targets }) => targets ?? []),
      ...annotations.list,
    ])
    .map(({ expr }) => expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '1m'));
}

/** Metrics with their braces, such as `up{job="processor"}`; recorded ones have a colon. */
export function selectorsIn(expression: string): string[] {
  const selector =
    /(?<![\w:])(?:(?:processor|nodejs|process)[_:]\w[\w:]*|up)(?![\w:(])(?:\{[^}]*\})?/g;
  return expression.match(selector) ?? [];
}

export interface Selector {
  readonly name: string;
  /** The matchers' labels with what they are compared to. */
  readonly labels: readonly (readonly [string, string])[];
}

export function parseSelector(selector: string): Selector {
  const [name = '', braces = ''] = selector.split(/[{}]/);
  const labels = [...braces.matchAll(/(\w+)\s*=~?\s*"([^"]*)"/g)].map(
    ([, label = '', value = '']) => [label, value] as const,
  );
  return { name, labels };
}

const withLabels = z.object({ name: z.string(), labelNames: z.array(z.string()) });

/** What the service exports: series names with the labels they may carry. */
export async function readExported(): Promise<Map<string, ReadonlySet<string>>> {
  const { registry } = createMetrics({ version: '1', revision: '1' }, [0]);
  await registry.metrics();
  const exported = new Map<string, ReadonlySet<string>>([['up', new Set()]]);
  for (const metric of registry.getMetricsAsArray()) {
    const { name, labelNames } = withLabels.parse(metric);
    // As an enum in prom-client's types, as a word in what it makes.
    const isHistogram = String(metric.type) === 'histogram';
    const labels = new Set(labelNames);
    if (!isHistogram) exported.set(name, labels);
    else {
      for (const suffix of ['_sum', '_count']) exported.set(`${name}${suffix}`, labels);
      exported.set(`${name}_bucket`, new Set([...labels, 'le']));
    }
  }
  return exported;
}
