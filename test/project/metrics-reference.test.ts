import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { renderMetricsReference } from '../../scripts/metrics-reference.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { readExported, readRules } from './monitored.ts';

const page = await readFile(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
const documented = [...page.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);

describe('docs/metrics.md', () => {
  test('is what the registry and the notes make', async () => {
    expect(page).toBe(await renderMetricsReference());
  });

  test('tells of every exported metric, and of no other', () => {
    const { registry } = createMetrics({ version: '1', revision: '1' }, [0]);
    const names = registry.getMetricsAsArray().map(({ name }) => name);
    const ours = names.filter((name) => name.startsWith('processor_'));
    expect(documented).toEqual(ours.toSorted());
    // The others have a line for all of one prefix.
    for (const name of names) expect(name).toMatch(/^(processor|process|nodejs)_/);
    expect(page).toContain('- `process_*`: ');
    expect(page).toContain('- `nodejs_*`: ');
  });

  test('names only alerts and metrics that there are', async () => {
    const alerts = (await readRules()).alerts.map(({ alert }) => alert);
    const exported = await readExported();
    for (const [name] of page.matchAll(/\bProcessor[A-Z]\w+/g)) expect(alerts).toContain(name);
    for (const [, name = ''] of page.matchAll(/`((?:process|nodejs)_\w+)`/g)) {
      expect(exported.has(name) || exported.has(`${name}_sum`), name).toBe(true);
    }
  });
});
