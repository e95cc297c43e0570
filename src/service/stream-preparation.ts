import type { Config } from '../config/load.ts';
import type { DependencyError, Logger } from '../core/types.ts';
import { retryStep } from '../lifecycle/start-up.ts';
import { isPowerOfTwo } from '../observability/guard-events.ts';
import { sampleBacklog } from '../stream/backlog.ts';
import { retryBackoff } from './guard-parts.ts';
import type { Parts } from './parts.ts';

type StreamParts = Parts['streams'][number];

export interface StreamPreparation {
  readonly config: Config;
  readonly parts: Parts;
  readonly log: Logger;
  /** Reads the operator switches of a stream, before it is read. */
  readonly readSwitches: (stream: StreamParts) => Promise<void>;
  /** Ends the retries of a step. */
  readonly signal: AbortSignal;
  /** A shard that is prepared after the start met an error that is none of a dependency. */
  readonly onBug: (error: unknown) => void;
}

/**
 * Prepares all streams at once. Resolves when each was tried once and one can be read; the others are
 * retried in the background, because a node that is away must not stop the shards of other nodes.
 */
export async function prepareStreams(options: StreamPreparation): Promise<void> {
  const { parts, signal, onBug, log, config } = options;
  const bug = Promise.withResolvers<never>();
  const one = Promise.withResolvers<void>();
  const neverWritten: boolean[] = [];
  let isStarted = false;

  async function tryOnce(stream: StreamParts): Promise<void> {
    const failed = Promise.withResolvers<void>();
    const prepared = prepareStream(options, stream, failed.resolve).then((isNew) => {
      neverWritten.push(isNew);
      one.resolve();
    });
    prepared.catch((error: unknown) => {
      bug.reject(error);
      if (isStarted && !signal.aborted) onBug(error);
    });
    await Promise.race([prepared, failed.promise]);
  }

  const tried = Promise.all(parts.streams.map(tryOnce)).then(() => one.promise);
  await Promise.race([tried, bug.promise]);
  isStarted = true;
  if (neverWritten.every((isNew) => isNew)) {
    log.warn(
      { stream: config.shards?.name ?? config.streams[0].key },
      'nothing was ever written to this stream: does the ingestion service use the same name?',
    );
  }
}

/**
 * @param onFailure called after each failed attempt
 * @returns whether nothing was ever written to the stream
 */
async function prepareStream(
  { signal, readSwitches }: StreamPreparation,
  stream: StreamParts,
  onFailure: () => void,
): Promise<boolean> {
  const { stream: options, consumer, connection, state, gate, log } = stream;
  const retrying = {
    ...retryBackoff,
    signal,
    onFailure({ kind, code }: DependencyError) {
      state.health('redis', `${kind}: ${code}`);
      onFailure();
    },
    // One node may hold many shards.
    ...(options.shard !== null && { isLogged: isPowerOfTwo }),
  };
  await retryStep('prepare the consumer group', consumer.prepare, retrying, log);
  const { neverWritten } = await retryStep(
    'sample the stream',
    async () => sampleBacklog(await connection.ready(), options, Date.now()),
    retrying,
    log,
  );
  state.health('redis', 'ok');
  if (options.shard === null) return neverWritten;
  await readSwitches(stream);
  gate.open();
  log.info({ stream: options.key }, 'shard is prepared');
  return neverWritten;
}
