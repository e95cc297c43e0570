import { reasons } from '../core/types.ts';
import type { MetricMaker } from './metric-maker.ts';

/** Metrics of dead letters and their stream. */
export function createDeadLettersMetrics(make: MetricMaker) {
  return {
    deadLetters: make.counter(
      'processor_dead_letters_total',
      'Records dead-lettered, by reason.',
      'reason',
      reasons,
    ),
    deadLetterEntries: make.gauge(
      'processor_dead_letter_entries',
      'Entries in the dead-letter stream.',
    ),
    deadLetterBytes: make.labelledGauge(
      'processor_dead_letter_bytes',
      'Bytes of names and values in the dead-letter stream.',
      ['stream'],
    ),
    deadLetterOldest: make.gauge(
      'processor_dead_letter_oldest_seconds',
      'Age of the oldest dead letter.',
    ),
    deadLettersDropped: make.labelledGauge(
      'processor_dead_letters_dropped',
      'Dead letters that the limits of their stream have dropped in total, as Redis counts them.',
      ['stream'],
    ),
    deadLettersWaiting: make.gauge(
      'processor_dead_letters_waiting',
      'Entries whose dead letter cannot be written at present.',
    ),
  };
}
