import type { Attributes, Context, Span, Tracer } from '@opentelemetry/api';
import type {
  Batch,
  Entry,
  HeldEntry,
  Outcomes,
  ReadingEvents,
  Service,
  WritingEvents,
} from '../core/types.ts';

export interface TracingOptions {
  /** Collector URL (OTLP over HTTP), such as http://collector:4318/v1/traces; null: no tracing. */
  readonly endpoint: string | null;
  /** Share of reads, batches and acknowledgements that are traced, 0 to 1. */
  readonly sampleRatio: number;
  readonly instance: string;
  readonly version: string;
}

/** `stop` sends the remaining spans within a second. */
export interface Tracing extends Service {
  /** Do nothing while tracing is not started. */
  readonly events: ExtraEvents;
}

/** A second subscriber of the pipeline's events. */
export interface ExtraEvents {
  /** Those of one stream. @param shard null without shards */
  reading(shard: number | null): ReadingEvents;
  readonly writing: WritingEvents;
}

const exportTimeoutMs = 1000;
/** Maximum number of spans that wait for the collector; further ones are dropped. */
const maxWaiting = 2048;

/**
 * Creates spans of reading, decoding, inserting and acknowledging from the events of the pipeline.
 * Entry ids and batch ids connect them to the log lines; they contain no data of a record.
 * OpenTelemetry's packages are loaded at the start, and only if an endpoint is set.
 */
export function createTracing(options: TracingOptions): Tracing {
  let starting: Promise<Exporting> | null = null;
  let active: Exporting | null = null;
  const events = tracingEvents({
    active: () => active,
    sampled: () => active !== null && Math.random() < options.sampleRatio,
    now: () => Date.now(),
  });
  return {
    name: 'tracing',
    events,
    async start() {
      const { endpoint } = options;
      if (endpoint === null) return;
      starting ??= openExport(endpoint, options);
      active = await starting;
    },
    async stop() {
      const ending = await starting?.catch(() => null);
      starting = null;
      active = null;
      if (ending === null || ending === undefined) return;
      // An unreachable collector must not delay a deploy.
      await Promise.race([
        ending.shutdown().catch(() => undefined),
        new Promise((resolve) => setTimeout(resolve, exportTimeoutMs).unref()),
      ]);
    },
  };
}

/** A running exporter of spans. */
interface Exporting {
  readonly tracer: Tracer;
  /** The context that makes a span the parent of another. */
  under(span: Span): Context;
  shutdown(): Promise<void>;
}

async function openExport(
  endpoint: string,
  { version, instance }: TracingOptions,
): Promise<Exporting> {
  const api = await import('@opentelemetry/api');
  const { OTLPTraceExporter } = await import('@opentelemetry/exporter-trace-otlp-http');
  const { resourceFromAttributes } = await import('@opentelemetry/resources');
  const { AlwaysOnSampler, BatchSpanProcessor, TracerProvider } = await import(
    '@opentelemetry/sdk-trace'
  );
  const exporter = new OTLPTraceExporter({ url: endpoint, timeoutMillis: exportTimeoutMs });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': 'processor',
      'service.version': version,
      'service.instance.id': instance,
    }),
    // `sampled` decides before a span is created.
    sampler: new AlwaysOnSampler(),
    spanProcessors: [
      new BatchSpanProcessor({
        exporter,
        maxQueueSize: maxWaiting,
        exportTimeoutMillis: exportTimeoutMs,
      }),
    ],
  });
  return {
    tracer: provider.getTracer('processor', version),
    under: (span) => api.trace.setSpan(api.ROOT_CONTEXT, span),
    shutdown: () => provider.shutdown(),
  };
}

interface SpanParts {
  readonly active: () => Exporting | null;
  /** Decided before a span is created: a span that is not sent costs nothing, not even attributes. */
  readonly sampled: () => boolean;
  readonly now: () => number;
}

function tracingEvents({ active, sampled, now }: SpanParts): ExtraEvents {
  /** Records a span that has just ended. @returns it, as parent of further spans */
  function ended(
    name: string,
    durationMs: number,
    attributes: Attributes,
    parent?: Span,
  ): Span | null {
    const exporting = active();
    if (exporting === null) return null;
    const endTime = now();
    const context = parent === undefined ? undefined : exporting.under(parent);
    const options = { startTime: endTime - durationMs, attributes };
    const span = exporting.tracer.startSpan(name, options, context);
    span.end(endTime);
    return span;
  }

  function reading(shard: number | null): ReadingEvents {
    const own: Attributes = shard === null ? {} : { 'processor.shard': shard };
    /** The last read, if it is traced; its entries are decoded before the next read. */
    let last: Span | null = null;
    return {
      read(entries, durationMs) {
        last = sampled() ? ended('read', durationMs, { ...entriesOf(entries), ...own }) : null;
      },
      interpreted(durationMs, entries) {
        if (last === null) return;
        ended('decode', durationMs, { 'processor.entries': entries }, last);
      },
      acknowledged(held: readonly HeldEntry[], durationMs: number) {
        if (!sampled()) return;
        const attributes = entriesOf(held.map(({ entry }) => entry));
        ended('acknowledge', durationMs, { ...attributes, ...own });
      },
      rejected() {},
      isolated() {},
      paused() {},
    };
  }

  const writing: WritingEvents = {
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
    late() {},
  };
  return { reading, writing };
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

/** Passes every event of a stream to two subscribers. */
export function bothReading(one: ReadingEvents, other: ReadingEvents): ReadingEvents {
  return {
    read(...args) {
      one.read(...args);
      other.read(...args);
    },
    interpreted(...args) {
      one.interpreted(...args);
      other.interpreted(...args);
    },
    rejected(...args) {
      one.rejected(...args);
      other.rejected(...args);
    },
    isolated(...args) {
      one.isolated(...args);
      other.isolated(...args);
    },
    acknowledged(...args) {
      one.acknowledged(...args);
      other.acknowledged(...args);
    },
    paused(...args) {
      one.paused(...args);
      other.paused(...args);
    },
  };
}

/** Passes every event of the writing side to two subscribers. */
export function bothWriting(one: WritingEvents, other: WritingEvents): WritingEvents {
  return {
    batch(...args) {
      one.batch(...args);
      other.batch(...args);
    },
    late(...args) {
      one.late(...args);
      other.late(...args);
    },
  };
}
