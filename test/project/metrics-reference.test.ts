import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { renderMetricsReference } from '../../scripts/metrics-reference.ts';

it('docs/metrics.md tells of every exported metric, and of no other', async () => {
  const page = await readFile(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
  // The Node that runs the tests may be another than the one that wrote the page.
  const withoutVersion = (text: string) => text.replaceAll(/node_version: [\d.]+/g, '');

  expect(withoutVersion(page)).toBe(withoutVersion(await renderMetricsReference()));
});
