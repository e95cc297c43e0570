import type { Attributes, Context, Span, Tracer } from '@opentelemetry/api';
import type { Batch, Entry, HeldEntry, Outcomes, PipelineEvents } from '../core/types.ts';

export interface TracingOptions {
  /** Where spans are sent: OTLP over HTTP, such as http://collector:4318/v1/traces. */
  readonly endpoint: string;
  /** Share of reads, batches and acknowledgements that are traced, 0 to 1. */
  readonly sampleRatio: number;
  readonly instance: string;
  readonly version: string;
}

export interface Tracing {
  readonly events: PipelineEvents;
  /** Sends what is left, for no longer than a second. */
  stop(): Promise<void>;
}

const exportTimeoutMs = 1000;
/** Spans that wait for the collector; what is more is dropped, never held. */
const maxWaiting = 2048;

/**
 * Spans around reading, decoding, inserting and acknowledging, made from what the pipeline tells
 * of each when it is done. Entry ids and batch ids tie them to the log lines; nothing of a
 * record's content goes into them. Loaded only when it is switched on.
 */
export async function startTracing(options: TracingOptions): Promise<Tracing> {
  const api = await import('@opentelemetry/api');
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
  const { resourceFromAttributes } = await import('@opentelemetry/resources');
  const { AlwaysOnSampler, BatchSpanProcessor, TracerProvider } = await import(
    '@opentelemetry/sdk-trace'
  );
  const exporter = new OTLPTraceExporter({
    url: options.endpoint,
    timeoutMillis: exportTimeoutMs,
  });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': 'processor',
      'service.version': options.version,
      'service.instance.id': options.instance,
    }),
    // What is sampled is decided below, before a span is made.
    sampler: new AlwaysOnSampler(),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        maxQueueSize: maxWaiting,
        exportTimeoutMillis: exportTimeoutMs,
      }),
    ],
  });
  const events = tracingEvents({
    tracer: provider.getTracer('processor', options.version),
    under: (span) => api.trace.setSpan(api.ROOT_CONTEXT, span),
    sampled: () => Math.random() < options.sampleRatio,
    now: () => Date.now(),
  });
  return {
    events,
    async stop() {
      // A collector that is gone must not hold up a deploy, and is no fault of ours.
      await Promise.race([
        provider.shutdown().catch(() => undefined),
        new Promise((resolve) => setTimeout(resolve, exportTimeoutMs).unref()),
      ]);
    },
  };
}

interface SpanParts {
  readonly tracer: Tracer;
  /** The context that puts a span under another. */
  readonly under: (span: Span) => Context;
  /** Drawn before a span is made: one that is not sent costs nothing, not even its attributes. */
  readonly sampled: () => boolean;
  readonly now: () => number;
}

function tracingEvents({ tracer, under, sampled, now }: SpanParts): PipelineEvents {
  /** A span that has just ended. @returns it, for spans within it */
  function ended(name: string, durationMs: number, attributes: Attributes, parent?: Context): Span {
    const endTime = now();
    const span = tracer.startSpan(name, { startTime: endTime - durationMs, attributes }, parent);
    span.end(endTime);
    return span;
  }

  /** The last read, if it is traced; what it brought is decoded before the next. */
  let reading: Span | null = null;
  return {
    read(entries, durationMs) {
      reading = sampled() ? ended('read', durationMs, entriesOf(entries)) : null;
    },
    interpreted(durationMs, entries) {
      if (reading === null) return;
      ended('decode', durationMs, { 'processor.entries': entries }, under(reading));
    },
    batch(batch: Batch, outcomes: Outcomes, durationMs: number, statements: number) {
      if (!sampled()) return;
      ended('insert', durationMs, {
        ...entriesOf(batch.owners.map(({ entry }) => entry)),
        'processor.batch_id': batch.id,
        'processor.rows': batch.rows.length,
        'processor.inserted': outcomes.filter((outcome) => outcome === 'inserted').length,
        'processor.statements': statements,
        'db.system.name': 'postgresql',
      });
    },
    acknowledged(held: readonly HeldEntry[], durationMs: number) {
      if (!sampled()) return;
      ended('acknowledge', durationMs, entriesOf(held.map(({ entry }) => entry)));
    },
    rejected() {},
    isolated() {},
    late() {},
    paused() {},
  };
}

function entriesOf(entries: readonly Entry[]): Attributes {
  const [first] = entries;
  const last = entries.at(-1);
  if (first === undefined || last === undefined) return { 'processor.entries': 0 };
  return {
    'processor.entries': entries.length,
    'processor.first_entry_id': first.id,
    'processor.last_entry_id': last.id,
  };
}

/** Tells two listeners of everything. */
export function bothEvents(one: PipelineEvents, other: PipelineEvents): PipelineEvents {
  return {
    read(...told) {
      one.read(...told);
      other.read(...told);
    },
    interpreted(...told) {
      one.interpreted(...told);
      other.interpreted(...told);
    },
    rejected(...told) {
      one.rejected(...told);
      other.rejected(...told);
    },
    isolated(...told) {
      one.isolated(...told);
      other.isolated(...told);
    },
    batch(...told) {
      one.batch(...told);
      other.batch(...told);
    },
    late(...told) {
      one.late(...told);
      other.late(...told);
    },
    acknowledged(...told) {
      one.acknowledged(...told);
      other.acknowledged(...told);
    },
    paused(...told) {
      one.paused(...told);
      other.paused(...told);
    },
  };
}
