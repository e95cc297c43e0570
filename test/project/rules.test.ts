import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { createMetrics } from '../../src/observability/metrics.ts';
import { findProgram } from '../servers/programs.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../', import.meta.url));
const needs = 'needs promtool (Debian package prometheus)';

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

const text = (path: string) => readFile(`${root}${path}`, 'utf8');
const rulesText = await text('deploy/prometheus/rules/processor.yml');
const rules = ruleFile.parse(parse(rulesText)).groups.flatMap((group) => group.rules);
const alerts = rules.flatMap((rule) => ('alert' in rule ? [rule] : []));
const recorded = rules.flatMap((rule) => ('record' in rule ? [rule.record] : []));

/** Names of metrics in an expression or a series; what Prometheus and the rules make is known. */
function metricsIn(expression: string): string[] {
  const names = expression.match(/\b(?:processor|nodejs|process)_[a-z0-9_]+/g) ?? [];
  return names.map((name) => name.replace(/_(bucket|sum|count)$/, ''));
}

async function exportedNames(): Promise<Set<string>> {
  const { registry } = createMetrics({ version: '1', revision: '1' });
  const metrics = await registry.getMetricsAsJSON();
  return new Set(metrics.flatMap(({ name }) => [name, name.replace(/_(bucket|sum|count)$/, '')]));
}

describe('the alerts', () => {
  it('use only metrics that the service exports', async () => {
    const exported = await exportedNames();
    const used = rules.flatMap(({ expr }) => metricsIn(expr));
    expect(used.length).toBeGreaterThan(30);
    expect(used.filter((name) => !exported.has(name))).toEqual([]);
    for (const name of rulesText.match(/processor:[a-z0-9_:]+/g) ?? []) {
      expect(recorded).toContain(name);
    }
  });

  it('each have one section in OPERATIONS.md, with all its parts, and each section an alert', async () => {
    const page = await text('OPERATIONS.md');
    const sections = page.split(/^### /m).slice(1);
    const named = sections.filter((section) => /^Processor[A-Z]/.test(section));
    expect(named.map((section) => section.split('\n', 1)[0])).toEqual(
      expect.arrayContaining(alerts.map(({ alert }) => alert)),
    );
    expect(named).toHaveLength(alerts.length);
    for (const section of named) {
      for (const part of ['**Means.**', '**Check.**', '**Common causes.**', '**Mend.**']) {
        expect(section).toContain(part);
      }
    }
    for (const { alert, annotations } of alerts) {
      expect(annotations.runbook_url).toBe(`OPERATIONS.md#${alert.toLowerCase()}`);
    }
  });

  it('each have a test that fires and one that is silent', async () => {
    const tests = parse(await text('deploy/prometheus/tests/processor_test.yml'));
    const names: string[] = tests.tests.map(({ name }: { name: string }) => name);
    for (const { alert } of alerts) {
      expect(names).toContain(`${alert} fires`);
      expect(names).toContain(`${alert} is silent`);
    }
  });

  it.skipIf(findProgram('promtool') === null)(
    'are accepted by promtool, and its unit tests pass',
    { meta: { needs } },
    async () => {
      const folder = `${root}deploy/prometheus`;
      const checked = await run('promtool', ['check', 'rules', `${folder}/rules/processor.yml`]);
      expect(checked.stdout).toContain('SUCCESS');
      const tested = await run('promtool', ['test', 'rules', `${folder}/tests/processor_test.yml`]);
      expect(tested.stdout).toContain('SUCCESS');
    },
  );
});

const dashboardSchema = z.object({
  title: z.string(),
  uid: z.string(),
  panels: z.array(
    z.looseObject({
      type: z.string(),
      title: z.string().min(3),
      targets: z.array(z.looseObject({ expr: z.string() })).optional(),
      datasource: z.looseObject({ uid: z.string() }).optional(),
    }),
  ),
});

describe('the dashboards', () => {
  it('use only metrics that the service exports, each panel with title and data source', async () => {
    const exported = await exportedNames();
    const folder = `${root}deploy/grafana/dashboards`;
    const files = (await readdir(folder)).filter((name) => name.endsWith('.json'));
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      const { panels } = dashboardSchema.parse(
        JSON.parse(await readFile(`${folder}/${file}`, 'utf8')),
      );
      for (const panel of panels.filter(({ type }) => type !== 'row')) {
        expect(panel.datasource?.uid).toBe('prometheus');
        const used = (panel.targets ?? []).flatMap(({ expr }) => metricsIn(expr));
        const made = (panel.targets ?? []).filter(({ expr }) =>
          recorded.some((name) => expr.includes(name)),
        );
        expect(used.length + made.length, panel.title).toBeGreaterThan(0);
        expect(used.filter((name) => !exported.has(name))).toEqual([]);
      }
    }
  });
});
