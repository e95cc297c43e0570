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
  const { BatchSpanProcessor, ParentBasedSampler, TraceIdRatioBasedSampler, TracerProvider } =
    await import('@opentelemetry/sdk-trace');
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
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(options.sampleRatio) }),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        maxQueueSize: maxWaiting,
        exportTimeoutMillis: exportTimeoutMs,
      }),
    ],
  });
  const under = (span: Span) => api.trace.setSpan(api.ROOT_CONTEXT, span);
  return {
    events: tracingEvents(provider.getTracer('processor', options.version), under, () =>
      Date.now(),
    ),
    async stop() {
      // A collector that is gone must not hold up a deploy, and is no fault of ours.
      await Promise.race([
        provider.shutdown().catch(() => undefined),
        new Promise((resolve) => setTimeout(resolve, exportTimeoutMs).unref()),
      ]);
    },
  };
}

function tracingEvents(
  tracer: Tracer,
  under: (span: Span) => Context,
  now: () => number,
): PipelineEvents {
  /** A span that has just ended. @returns it, for spans within it */
  function ended(name: string, durationMs: number, attributes: Attributes, parent?: Context): Span {
    const endTime = now();
    const span = tracer.startSpan(name, { startTime: endTime - durationMs, attributes }, parent);
    span.end(endTime);
    return span;
  }

  let reading: Span | null = null;
  return {
    read(entries, durationMs) {
      reading = ended('read', durationMs, entriesOf(entries.map(({ id }) => id)));
    },
    interpreted(durationMs, entries) {
      const parent = reading === null ? undefined : under(reading);
      ended('decode', durationMs, { 'processor.entries': entries }, parent);
    },
    batch(batch: Batch, outcomes: Outcomes, durationMs: number, statements: number) {
      const ids = batch.owners.map(({ entry }) => entry.id);
      ended('insert', durationMs, {
        ...entriesOf(ids),
        'processor.batch_id': batch.id,
        'processor.rows': batch.rows.length,
        'processor.inserted': outcomes.filter((outcome) => outcome === 'inserted').length,
        'processor.statements': statements,
        'db.system.name': 'postgresql',
      });
    },
    acknowledged(entries: readonly HeldEntry[], durationMs: number) {
      ended('acknowledge', durationMs, entriesOf(entries.map(({ entry }) => entry.id)));
    },
    rejected() {},
    triedAlone() {},
    late() {},
    paused() {},
  };
}

function entriesOf(ids: readonly Entry['id'][]): Attributes {
  const [first] = ids;
  const last = ids.at(-1);
  if (first === undefined || last === undefined) return { 'processor.entries': 0 };
  return {
    'processor.entries': ids.length,
    'processor.first_entry_id': first,
    'processor.last_entry_id': last,
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
    triedAlone(...told) {
      one.triedAlone(...told);
      other.triedAlone(...told);
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
