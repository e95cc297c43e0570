import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { outcomes, reasons } from '../../src/core/types.ts';
import { createMetrics } from '../../src/observability/metrics.ts';
import { showBacklog } from '../../src/observability/sampling.ts';

const build = { version: '1.2.3', revision: 'abc' };
const labels = { stream: 's', group: 'g' };
const backlog = {
  length: 7,
  neverWritten: false,
  lag: 3,
  lagAgeMs: 1500,
  pending: 2,
  pendingOldestMs: 500,
  idFault: null,
  deadLetters: 1,
  deadLetterOldestMs: 10,
};

const render = (metrics = createMetrics(build)) => metrics.registry.metrics();

describe('the metrics', () => {
  test('have every outcome and reason at 0 from the start, or increase() misses the first event', async () => {
    const text = await render();
    for (const outcome of outcomes) {
      expect(text).toContain(`processor_records_total{outcome="${outcome}"} 0`);
    }
    for (const reason of reasons) {
      expect(text).toContain(`processor_dead_letters_total{reason="${reason}"} 0`);
    }
  });

  test('omit the lag while it is unknown', async () => {
    const metrics = createMetrics(build);
    const series = 'processor_stream_group_lag_entries{stream="s",group="g"}';
    showBacklog(metrics, labels, backlog);
    expect(await render(metrics)).toContain(`${series} 3`);
    showBacklog(metrics, labels, { ...backlog, lag: null, lagAgeMs: null });
    const unknown = await render(metrics);
    expect(unknown).not.toContain(`${series} `);
    expect(unknown).toContain('processor_stream_group_lag_known{stream="s",group="g"} 0');
    showBacklog(metrics, labels, backlog);
    expect(await render(metrics)).toContain(`${series} 3`);
  });

  test('follow the naming rules: a prefix, base units, _total on counters only', async () => {
    const text = await render();
    const types = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name, type]) => ({
      name,
      type,
    }));
    expect(types.length).toBeGreaterThan(40);
    for (const { name = '', type } of types) {
      expect(name).toMatch(/^(processor|process|nodejs)_[a-z0-9_]+$/);
      expect(`${name} ${type}`).toMatch(/_total counter$|^(?!.*_total ).*/);
      if (type === 'counter') expect(name).toMatch(/_total$/);
      expect(name).not.toMatch(/_(ms|millis|milliseconds|kb|mb)(_|$)/);
      expect(text).toContain(`# HELP ${name} `);
    }
  });

  test('are accepted by promtool, where it is installed', async (context) => {
    if (spawnSync('promtool', ['--version']).error !== undefined) {
      context.skip('needs promtool (Debian package prometheus)');
    }
    const metrics = createMetrics(build);
    showBacklog(metrics, labels, backlog);
    const checked = spawnSync('promtool', ['check', 'metrics'], {
      input: await render(metrics),
      encoding: 'utf8',
    });
    expect(checked.stderr + checked.stdout).toBe('');
    expect(checked.status).toBe(0);
  });
});
