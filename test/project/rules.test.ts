import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { findProgram } from '../../tools/servers/programs.ts';
import {
  parseSelector,
  prometheusFolder,
  readDashboards,
  readExported,
  readQueries,
  readRules,
  readRuleTests,
  selectorsIn,
} from './monitored.ts';

const run = promisify(execFile);
const needs = 'needs promtool (Debian package prometheus)';

const { rules, alerts, recorded } = await readRules();
const { files: testFiles, tests } = await readRuleTests();
const exported = await readExported();

/** Metrics, or labels of one, that neither the service nor a rule makes. */
function unknownIn(expression: string): string[] {
  return selectorsIn(expression).filter((selector) => {
    const { name, labels } = parseSelector(selector);
    if (recorded.includes(name)) return false;
    const known = exported.get(name);
    const isKnown = (label: string) => ['job', 'instance'].includes(label) || known?.has(label);
    return known === undefined || !labels.every(([label]) => isKnown(label));
  });
}

/** These are the same from every instance: added up they would double with the second. */
const addedUp =
  /\bsum\b[^()]*\(\s*processor_(stream_(group|length|never)|dead_letter_(entries|old)|domain_(outbox|parked|paused|geofences|unknown))/;

/** What promtool must expect of an alert in the test of this name. */
function expectedIn(alert: string, name: string) {
  return tests
    .filter((test) => test.name === name)
    .flatMap((test) => test.promql_expr_test)
    .filter(({ expr }) => expr === `ALERTS{alertname="${alert}", alertstate="firing"}`)
    .map(({ exp_samples: samples }) => samples);
}

describe('the alerts', () => {
  test('use only metrics that the service exports, with labels they have', () => {
    const used = rules.flatMap(({ expr }) => selectorsIn(expr));
    expect(used.length).toBeGreaterThan(60);
    expect(rules.flatMap(({ expr }) => unknownIn(expr))).toEqual([]);
  });

  test('are tested with metrics that the service exports, with labels they have', () => {
    const series = tests.flatMap((test) => test.input_series.map((input) => input.series));
    expect(series.length).toBeGreaterThan(60);
    expect(series.flatMap(unknownIn)).toEqual([]);
    // Nothing that is written wrongly passes as no selector at all.
    expect(series.filter((text) => selectorsIn(text)[0] !== text)).toEqual([]);
  });

  test('never add up what every instance exports', () => {
    expect(rules.filter(({ expr }) => addedUp.test(expr))).toEqual([]);
  });

  test('find the buckets of a histogram in Prometheus 2 and 3, which write them otherwise', () => {
    const exact = /le="\d+"/;
    expect(rules.filter(({ expr }) => exact.test(expr))).toEqual([]);
  });

  test('each have one section in OPERATIONS.md, with all its parts, and each section an alert', async () => {
    const page = await readFile(`${prometheusFolder}/../../OPERATIONS.md`, 'utf8');
    const sections = page.split(/^#{2,3} /m).slice(1);
    const named = sections.filter((section) => /^Processor[A-Z]/.test(section));
    expect(named.map((section) => section.split('\n', 1)[0]).toSorted()).toEqual(
      alerts.map(({ alert }) => alert).toSorted(),
    );
    for (const section of named) {
      for (const part of ['**Means.**', '**Check.**', '**Common causes.**', '**Fix.**']) {
        expect(section.split(part), `${section.split('\n', 1)[0]} ${part}`).toHaveLength(2);
      }
    }
    for (const { alert, annotations, labels } of alerts) {
      const section = named.find((text) => text.startsWith(`${alert}\n`));
      expect(section, alert).toContain(`**Severity.** ${labels.severity}\n`);
      expect(annotations.runbook_url).toBe(`OPERATIONS.md#${alert.toLowerCase()}`);
    }
  });

  test('each have a test in which it fires, with its severity, and one in which it is silent', () => {
    for (const { alert, labels } of alerts) {
      const [fires] = expectedIn(alert, `${alert} fires`);
      const [silent] = expectedIn(alert, `${alert} is silent`);
      expect(fires?.length, `${alert} fires`).toBeGreaterThan(0);
      for (const sample of fires ?? []) {
        expect(sample.labels).toContain(`severity="${labels.severity}"`);
      }
      expect(silent, `${alert} is silent`).toEqual([]);
    }
    expect(new Set(tests.map(({ name }) => name)).size).toBe(tests.length);
  });

  test('tell only labels that are left when they fire', () => {
    for (const { alert, annotations } of alerts) {
      const [sample] = expectedIn(alert, `${alert} fires`)[0] ?? [];
      for (const [, label = ''] of annotations.description.matchAll(/\$labels\.(\w+)/g)) {
        expect(sample?.labels, `${alert}: ${label}`).toContain(`${label}="`);
      }
    }
  });

  test.skipIf(findProgram('promtool') === null)(
    'are accepted by promtool, and its unit tests pass',
    { meta: { needs } },
    async () => {
      const check = ['check', 'rules', `${prometheusFolder}/rules/processor.yml`];
      const answers = await Promise.all([
        run('promtool', check),
        ...testFiles.map((file) => run('promtool', ['test', 'rules', file])),
      ]);
      for (const { stdout } of answers) expect(stdout).toContain('SUCCESS');
    },
  );
});

const dashboards = await readDashboards();

describe('the dashboards', () => {
  const panels = dashboards.flatMap((dashboard) => dashboard.panels);
  const shown = panels.filter(({ type }) => type !== 'row');

  test('use only metrics that the service exports, with labels they have', async () => {
    const queries = await readQueries();
    expect(queries.length).toBeGreaterThan(40);
    expect(queries.flatMap(unknownIn)).toEqual([]);
    expect(queries.filter((query) => selectorsIn(query).length === 0)).toEqual([]);
    expect(queries.filter((query) => addedUp.test(query) || /le="\d+"/.test(query))).toEqual([]);
  });

  test('say in each panel what it shows, from the data source that is provisioned', () => {
    for (const { id, uid } of panels.map((panel) => ({ id: panel.id, ...panel.datasource }))) {
      expect(uid, String(id)).toBe('prometheus');
    }
    for (const { title, description, targets } of shown) {
      expect(description?.length, title).toBeGreaterThan(3);
      expect(targets?.length, title).toBeGreaterThan(0);
      for (const { datasource } of targets ?? []) expect(datasource.uid).toBe('prometheus');
    }
  });

  test('have the rows an operator looks for, and one variable', () => {
    for (const { uid, schemaVersion, templating, panels: all } of dashboards) {
      expect(uid).toBe('processor');
      expect(schemaVersion).toBeGreaterThanOrEqual(41);
      expect(templating.list.map(({ name }) => name)).toEqual(['instance']);
      expect(all.filter(({ type }) => type === 'row').map(({ title }) => title)).toEqual([
        'Service level',
        'Flow',
        'Backlog',
        'Pending',
        'Database and Redis',
        'Dead letters',
        'Runtime',
        'Domain',
        'Shards',
      ]);
    }
  });

  test('have no two panels of one id or in one place', () => {
    for (const { panels: all } of dashboards) {
      expect(new Set(all.map(({ id }) => id)).size).toBe(all.length);
      const cells = all.flatMap(({ gridPos: { x, y, w, h } }) => {
        expect(x + w).toBeLessThanOrEqual(24);
        return Array.from(
          { length: w * h },
          (_, at) => `${x + (at % w)},${y + Math.floor(at / w)}`,
        );
      });
      expect(new Set(cells).size).toBe(cells.length);
    }
  });
});
