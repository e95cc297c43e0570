import type { Service, WritingEvents } from '../core/types.ts';
import type { DomainOptions, DomainParts } from './domain-parts.ts';

/** The domain as a part of the service. */
export interface DomainPart extends Service {
  /** The same events; besides, a batch that inserted rows wakes the worker. */
  observe(events: WritingEvents): WritingEvents;
  /** Takes no further batch; `stop` waits for the running one. */
  quiesce(): void;
}

/** Builds the domain; null with DOMAIN=off. Its modules are loaded at the start, so only with DOMAIN=on. */
export function buildDomain(options: DomainOptions): DomainPart | null {
  if (!options.config.domain.enabled) return null;
  let loading: Promise<DomainParts> | null = null;
  let parts: DomainParts | null = null;

  async function load(): Promise<DomainParts> {
    const { buildDomainParts } = await import('./domain-parts.ts');
    parts = buildDomainParts(options);
    return parts;
  }

  return {
    name: 'domain',
    observe: (events) => wakeAfterWrites(events, () => parts?.wake()),
    async start() {
      loading ??= load();
      await (await loading).start();
    },
    quiesce: () => parts?.quiesce(),
    async stop() {
      await (await loading)?.stop();
    },
  };
}

function wakeAfterWrites(events: WritingEvents, wake: () => void): WritingEvents {
  return {
    ...events,
    batch(batch, outcomes, durationMs, statements) {
      events.batch(batch, outcomes, durationMs, statements);
      if (outcomes.includes('inserted')) wake();
    },
  };
}
