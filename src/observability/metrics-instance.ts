import type { MetricMaker } from './metric-maker.ts';

/** Metrics of this instance and its operators. */
export function createInstanceMetrics(make: MetricMaker) {
  return {
    httpEvictions: make.plainCounter(
      'processor_http_connections_evicted_total',
      'HTTP connections closed because 64 were open.',
    ),
    consumptionPaused: make.gauge(
      'processor_consumption_paused',
      '1 while consumption is paused by an operator.',
    ),
    ready: make.gauge('processor_ready', '1 while /health/ready answers ok.'),
    nameShared: make.gauge(
      'processor_consumer_name_shared',
      '1 while another live process uses the same consumer name.',
    ),
    controlRequests: make.plainCounter(
      'processor_control_requests_total',
      'Operator requests that this instance carried out.',
    ),
    shutdownInProgress: make.gauge(
      'processor_shutdown_in_progress',
      '1 while the instance drains.',
    ),
  };
}
