import type { MetricMaker } from './metric-maker.ts';

const rehydrationResults = ['found', 'absent', 'failed'] as const;

/** Metrics of device state. */
export function createDevicesMetrics(make: MetricMaker) {
  return {
    deviceStateEntries: make.gauge(
      'processor_device_state_entries',
      'Devices whose state is in memory.',
    ),
    deviceStateCapacity: make.gauge(
      'processor_device_state_capacity',
      'Maximum number of devices whose state is in memory.',
    ),
    deviceStateHits: make.plainCounter(
      'processor_device_state_hits_total',
      'Devices of a batch whose state was in memory.',
    ),
    deviceStateMisses: make.plainCounter(
      'processor_device_state_misses_total',
      'Devices of a batch that had to be looked up.',
    ),
    deviceStateEvictions: make.plainCounter(
      'processor_device_state_evictions_total',
      'States evicted for other devices.',
    ),
    rehydrations: make.counter(
      'processor_rehydrations_total',
      'Devices looked up in the database.',
      'result',
      rehydrationResults,
    ),
  };
}
