import { describe, expect, test } from 'vitest';
import { DependencyError } from '../../src/core/types.ts';
import { createGuardEvents, showBreaker, showUp } from '../../src/observability/guard-events.ts';
import { createLogger } from '../../src/observability/logger.ts';
import { createMetrics } from '../../src/observability/metrics.ts';

function open() {
  const metrics = createMetrics({ version: '1', revision: 'abc' });
  const lines: { level: string; msg: string }[] = [];
  const destination = { write: (line: string) => lines.push(JSON.parse(line)) };
  const log = createLogger({ level: 'info', env: 'test', instance: 'one', destination });
  const states: string[] = [];
  const errors: string[] = [];
  const events = createGuardEvents(metrics, log, {
    onState: (state) => states.push(state),
    showUp: (isUp) => showUp(metrics, 'database', isUp),
    showBreaker: (state) => showBreaker(metrics, 'redis', state),
    onError: ({ code }) => errors.push(code),
  });
  const value = async (series: string) => {
    const text = await metrics.registry.metrics();
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${series} `));
    return line === undefined ? undefined : Number(line.slice(series.length + 1));
  };
  return { events, lines, states, errors, value };
}

const gone = new DependencyError('database', 'unavailable', '57P01', 'gone');

describe('a dependency', () => {
  test('is down from the first failure until it works again, in metric and readiness', async () => {
    const { events, states, errors, value } = open();
    const up = 'processor_dependency_up{dependency="database"}';
    events.failed(gone, 1, {});
    expect(await value(up)).toBe(0);
    events.recovered('database');
    expect(await value(up)).toBe(1);
    expect(await value('processor_retries_total{dependency="database"}')).toBe(1);
    expect(states).toEqual(['unavailable: 57P01', 'ok']);
    expect(errors).toEqual(['57P01']);
  });

  test('that stays down is logged less and less often', () => {
    const { events, lines } = open();
    for (let attempt = 1; attempt <= 1000; attempt += 1) events.failed(gone, attempt, {});

    expect(lines).toHaveLength(10);
    expect(lines.every(({ level }) => level === 'warn')).toBe(true);
  });

  test('that needs an operator is logged as an error', () => {
    const { events, lines } = open();
    events.failed(new DependencyError('database', 'configuration', '42P01', 'no table'), 1, {
      batch_id: 7,
    });

    expect(lines).toMatchObject([{ level: 'error', batch_id: 7 }]);
  });
});

describe('a breaker', () => {
  test('is in exactly one state, closed at first, and counts its changes', async () => {
    const { events, value } = open();
    const state = (name: string) =>
      value(`processor_circuit_breaker_state{dependency="redis",state="${name}"}`);
    const all = async () => [await state('closed'), await state('half_open'), await state('open')];
    expect(await all()).toEqual([1, 0, 0]);
    events.breaker('redis', 'open');
    expect(await all()).toEqual([0, 0, 1]);
    events.breaker('redis', 'half_open');
    expect(await all()).toEqual([0, 1, 0]);
    const opened = 'processor_circuit_breaker_transitions_total{dependency="redis",to="open"}';
    expect(await value(opened)).toBe(1);
  });
});
