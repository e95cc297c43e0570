import { batchErrorKinds, batchStages } from '../domain/ports.ts';
import { initialised, type MetricMaker } from './metric-maker.ts';

/** Handlers of stored positions. Geofences are the only one (decision 0046). */
export const domainHandlers = ['geofences'] as const;
const handler = domainHandlers[0];

/** What became of timing records: the fields of `RecordCounts`. */
const recordResults = ['inserted', 'superseded', 'revived', 'unchanged'] as const;

const geofenceStates = ['active', 'refused'] as const;

/** Metrics of the domain: the outbox, the worker and the contract with Directus. */
export function createDomainMetrics(make: MetricMaker) {
  return { ...outboxMetrics(make), ...workerMetrics(make), ...contractMetrics(make) };
}

function outboxMetrics(make: MetricMaker) {
  const gauge = (name: string, help: string) => make.labelledGauge(name, help, ['handler']);
  return {
    domainOutboxRows: gauge(
      'processor_domain_outbox_rows',
      'Rows of the outbox: time ranges of devices still to be computed; absent while unknown.',
    ),
    domainOutboxOldest: gauge(
      'processor_domain_outbox_oldest_seconds',
      'Age of the oldest row of the outbox; 0 when it is empty, absent while unknown.',
    ),
    domainParked: gauge(
      'processor_domain_parked_devices',
      'Devices whose ranges are parked after repeated failures; absent while unknown.',
    ),
    domainPaused: gauge(
      'processor_domain_paused',
      '1 while the domain is paused by an operator; absent while unknown.',
    ),
  };
}

function workerMetrics(make: MetricMaker) {
  const counter = (name: string, help: string) =>
    make.counter(name, help, 'handler', domainHandlers);
  return {
    domainWindows: counter('processor_domain_windows_total', 'Windows of positions computed.'),
    domainClamped: counter(
      'processor_domain_windows_clamped_total',
      'Windows that began before the oldest kept position; that part was not computed.',
    ),
    domainRecords: make.counterOfTwo(
      'processor_domain_records_total',
      'Timing records of computed windows, by result.',
      { handler: domainHandlers, result: recordResults },
    ),
    domainErrors: make.counterOfTwo(
      'processor_domain_errors_total',
      'Batches of the domain that were rolled back, by kind of error.',
      { handler: domainHandlers, kind: batchErrorKinds },
    ),
    domainMismatches: counter(
      'processor_domain_state_mismatch_total',
      'Windows whose first fix contradicts the stored timing records; any is a bug.',
    ),
    domainDuration: make.histogramOfTwo(
      'processor_domain_duration_seconds',
      'Duration of one stage for one batch of devices.',
      { handler: domainHandlers, stage: batchStages },
      [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    ),
    domainLatency: make.labelledHistogram(
      'processor_domain_latency_seconds',
      'Time from the commit of positions until their window is computed and committed.',
      'handler',
      domainHandlers,
      [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400],
    ),
  };
}

function contractMetrics(make: MetricMaker) {
  return {
    domainContractOk: make.labelledGauge(
      'processor_domain_contract_ok',
      '1 while the views and the table of the contract are as promised; absent with DOMAIN=off.',
      ['handler'],
    ),
    domainGeofences: initialised(
      make.labelledGauge('processor_domain_geofences', 'Loaded geofences by state.', [
        'handler',
        'state',
      ]),
      geofenceStates.map((state) => [{ handler, state }, 0] as const),
    ),
    domainUnknownDevices: make.labelledGauge(
      'processor_domain_unknown_devices',
      'Devices with positions and without an assignment, as last counted.',
      ['handler'],
    ),
    domainReload: make.labelledHistogram(
      'processor_domain_reload_seconds',
      'Time to load all geofences and assignments.',
      'handler',
      domainHandlers,
      [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60],
    ),
  };
}
