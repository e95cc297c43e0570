import { collectDefaultMetrics, Registry } from 'prom-client';
import { createMetricMaker, type MetricMaker } from './metric-maker.ts';
import { createDatabaseMetrics } from './metrics-database.ts';
import { createDeadLettersMetrics } from './metrics-dead-letters.ts';
import { createDependenciesMetrics } from './metrics-dependencies.ts';
import { createDevicesMetrics } from './metrics-devices.ts';
import { createDomainMetrics } from './metrics-domain.ts';
import { createInstanceMetrics } from './metrics-instance.ts';
import { createProcessingMetrics } from './metrics-processing.ts';
import { createShardMetrics } from './metrics-shards.ts';
import { createStreamMetrics } from './metrics-stream.ts';

/** Default metrics of prom-client that break its own naming rule: gauges named `_total`. */
const misnamedDefaults = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

interface Build {
  readonly version: string;
  readonly revision: string;
}

export type Metrics = ReturnType<typeof createMetrics>;

/**
 * All metrics of the service; every combination of known labels starts at 0.
 * @param shards those that are read; null without shards
 */
export function createMetrics(build: Build, shards: readonly number[] | null = null) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of misnamedDefaults) registry.removeSingleMetric(name);
  const make = createMetricMaker(registry);
  setBuildInfo(make, build);
  return {
    registry,
    ...createStreamMetrics(make),
    ...createProcessingMetrics(make),
    ...createDeadLettersMetrics(make),
    ...createDatabaseMetrics(make),
    ...createDevicesMetrics(make),
    ...createDependenciesMetrics(make),
    ...createInstanceMetrics(make),
    ...createDomainMetrics(make),
    shards: shards === null ? null : createShardMetrics(make, shards),
  };
}

function setBuildInfo(make: MetricMaker, build: Build): void {
  const labels = ['version', 'revision', 'node_version'] as const;
  const info = make.labelledGauge('processor_build_info', 'Always 1; the running version.', labels);
  info.set({ ...build, node_version: process.versions.node }, 1);
}
