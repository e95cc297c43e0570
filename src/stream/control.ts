import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { ControlKeys } from './control-keys.ts';
import { callRedis } from './redis.ts';

const pauseSchema = z.object({
  by: z.string().max(200),
  reason: z.string().max(500),
  at: z.string().max(40),
});

/** Who paused consumption, why and when. */
export type Pause = z.output<typeof pauseSchema>;

/** A request to every running instance. */
export interface ControlRequest {
  readonly command: 'rehydrate';
  /** The device id as given; the receiver validates it. */
  readonly device: string;
}

export interface Control {
  /** Reads the current pause; null if there is none. @throws DependencyError */
  readPause(): Promise<Pause | null>;
  /**
   * Registers this process under the consumer name. @returns whether another process registered since
   * the last call: two live processes then share one pending list. @throws DependencyError
   */
  holdName(consumer: string): Promise<boolean>;
  /** Reads requests since the last call; the first call returns none. @throws DependencyError */
  readRequests(): Promise<readonly ControlRequest[]>;
}

/** Maximum number of requests that are kept, and read at a time. */
const maxRequests = 1000;

/**
 * Creates the instance's side of the operator's switches. It polls keys: an instance that starts or
 * reconnects at the wrong moment would miss a pub/sub message, but not a key.
 */
export function createControl(connected: () => Promise<Redis>, keys: ControlKeys): Control {
  let lastRequest: string | null = null;
  const token = randomUUID();
  let hasHeld = false;

  async function newestRequest(redis: Redis): Promise<string> {
    const newest = await redis.xrevrange(keys.requests, '+', '-', 'COUNT', 1);
    return newest[0]?.[0] ?? '0-0';
  }

  return {
    async readPause() {
      return await callRedis(async () => {
        const text = await (await connected()).get(keys.paused);
        return text === null ? null : parsePause(text);
      });
    },
    async holdName(consumer) {
      return await callRedis(async () => {
        const redis = await connected();
        const holder = await redis.hget(keys.holders, consumer);
        if (holder !== token) await redis.hset(keys.holders, consumer, token);
        // The first call finds the registration of this instance's previous process.
        const isShared = hasHeld && holder !== null && holder !== token;
        hasHeld = true;
        return isShared;
      });
    },
    async readRequests() {
      return await callRedis(async () => {
        const redis = await connected();
        lastRequest ??= await newestRequest(redis);
        const found = await redis.xrange(
          keys.requests,
          `(${lastRequest}`,
          '+',
          'COUNT',
          maxRequests,
        );
        lastRequest = found.at(-1)?.[0] ?? lastRequest;
        return found.flatMap(([, fields]) => parseRequest(fields));
      });
    },
  };
}

/** Parses a pause; a key that an operator set by hand pauses too. */
function parsePause(text: string): Pause {
  try {
    const parsed = pauseSchema.safeParse(JSON.parse(text));
    if (parsed.success) return parsed.data;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return { by: 'unknown', reason: 'the key was set by hand', at: 'unknown' };
}

function parseRequest(fields: readonly string[]): ControlRequest[] {
  const [commandName, command, deviceName, device] = fields;
  if (commandName !== 'command' || command !== 'rehydrate') return [];
  if (deviceName !== 'device' || device === undefined) return [];
  return [{ command, device }];
}

/** The operator's side of the switches. Every change adds an audit line. */
export interface Switches {
  /** Pauses consumption. @returns false if it was already paused @throws DependencyError */
  pause(pause: Pause): Promise<boolean>;
  /** Resumes consumption. @returns the pause that ended, or null @throws DependencyError */
  resume(by: string): Promise<Pause | null>;
  /** `detail` is what the audit says of the device. @throws DependencyError */
  request(request: ControlRequest, by: string, detail: string): Promise<void>;
  /** Requests it without an audit line: a part of another change. @throws DependencyError */
  dropState(device: string): Promise<void>;
  /** Adds an audit line for a change that has no switch here. @throws DependencyError */
  note(line: AuditLine): Promise<void>;
}

/** One line of the audit stream; no secret, no whole entry. */
export interface AuditLine {
  readonly by: string;
  readonly command: string;
  /** What was changed, and the result. */
  readonly detail: string;
}

/** Maximum number of audit lines that are kept. */
const maxAuditLines = 10_000;

export function createSwitches(connected: () => Promise<Redis>, keys: ControlKeys): Switches {
  function run<Result>(work: (redis: Redis) => Promise<Result>): Promise<Result> {
    return callRedis(async () => work(await connected()));
  }

  async function note(redis: Redis, { by, command, detail }: AuditLine): Promise<void> {
    const fields = ['by', by, 'command', command, 'detail', detail.slice(0, 1000)];
    await redis.xadd(keys.audit, 'MAXLEN', '~', maxAuditLines, '*', ...fields);
  }

  async function send(redis: Redis, { command, device }: ControlRequest): Promise<void> {
    const fields = ['command', command, 'device', device];
    await redis.xadd(keys.requests, 'MAXLEN', '~', maxRequests, '*', ...fields);
  }

  return {
    pause: (pause) =>
      run(async (redis) => {
        const isNew = (await redis.set(keys.paused, JSON.stringify(pause), 'NX')) === 'OK';
        if (isNew) await note(redis, { by: pause.by, command: 'pause', detail: pause.reason });
        return isNew;
      }),
    resume: (by) =>
      run(async (redis) => {
        const text = await redis.getdel(keys.paused);
        if (text === null) return null;
        const pause = parsePause(text);
        await note(redis, { by, command: 'resume', detail: `paused by ${pause.by}` });
        return pause;
      }),
    request: (request, by, detail) =>
      run(async (redis) => {
        await send(redis, request);
        await note(redis, { by, command: `device ${request.command}`, detail });
      }),
    dropState: (device) => run((redis) => send(redis, { command: 'rehydrate', device })),
    note: (line) => run((redis) => note(redis, line)),
  };
}
