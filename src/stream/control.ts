import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import { z } from 'zod';
import type { ControlKeys } from './control-keys.ts';
import { asRedisError } from './redis.ts';

const pauseSchema = z.object({
  by: z.string().max(200),
  reason: z.string().max(500),
  at: z.string().max(40),
});

/** Who stopped consumption, why and when. */
export type Pause = z.output<typeof pauseSchema>;

/** What every running instance is asked to do. */
export interface ControlRequest {
  readonly command: 'rehydrate';
  /** The device's id as it was given; whoever acts on it checks it. */
  readonly device: string;
}

export interface Control {
  /** The pause in force, or null. @throws DependencyError */
  readPause(): Promise<Pause | null>;
  /**
   * Notes that this process uses the consumer's name. @returns true when another one had noted
   * itself since our last call: two live processes then share one pending list. @throws DependencyError
   */
  holdName(consumer: string): Promise<boolean>;
  /** Requests since the last call; the first call only notes where to begin. @throws DependencyError */
  readRequests(): Promise<readonly ControlRequest[]>;
}

/** Requests read at a time, and kept. */
const maxRequests = 1000;

/**
 * The instances' side of the operators' switches. Keys that are polled, not pub/sub: a message is
 * lost to an instance that starts or reconnects in that moment, a key is not.
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
      try {
        const text = await (await connected()).get(keys.paused);
        return text === null ? null : parsePause(text);
      } catch (error) {
        throw asRedisError(error);
      }
    },
    async holdName(consumer) {
      try {
        const redis = await connected();
        const holder = await redis.hget(keys.holders, consumer);
        if (holder !== token) await redis.hset(keys.holders, consumer, token);
        // The first call finds the former life of this instance.
        const isShared = hasHeld && holder !== null && holder !== token;
        hasHeld = true;
        return isShared;
      } catch (error) {
        throw asRedisError(error);
      }
    },
    async readRequests() {
      try {
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
      } catch (error) {
        throw asRedisError(error);
      }
    },
  };
}

/** A key set by hand pauses too: whoever set it meant it. */
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

/** The operators' side. Every change leaves an audit line. */
export interface Switches {
  /** @returns false when consumption was paused already; that pause stays. @throws DependencyError */
  pause(pause: Pause): Promise<boolean>;
  /** @returns the pause that was taken back, or null. @throws DependencyError */
  resume(by: string): Promise<Pause | null>;
  /** `detail` is what the audit says of the device. @throws DependencyError */
  request(request: ControlRequest, by: string, detail: string): Promise<void>;
  /** Requests it without an audit line: a part of another change. @throws DependencyError */
  dropState(device: string): Promise<void>;
  /** Notes what an operator changed; for what has no switch of its own. @throws DependencyError */
  note(line: AuditLine): Promise<void>;
}

/** One line of the audit stream; no secret, no whole entry. */
export interface AuditLine {
  readonly by: string;
  readonly command: string;
  /** What it was done to, and with what outcome. */
  readonly detail: string;
}

/** Lines that are kept. */
const maxAuditLines = 10_000;

export function createSwitches(connected: () => Promise<Redis>, keys: ControlKeys): Switches {
  async function asked<Result>(work: (redis: Redis) => Promise<Result>): Promise<Result> {
    try {
      return await work(await connected());
    } catch (error) {
      throw asRedisError(error);
    }
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
      asked(async (redis) => {
        const isNew = (await redis.set(keys.paused, JSON.stringify(pause), 'NX')) === 'OK';
        if (isNew) await note(redis, { by: pause.by, command: 'pause', detail: pause.reason });
        return isNew;
      }),
    resume: (by) =>
      asked(async (redis) => {
        const text = await redis.getdel(keys.paused);
        if (text === null) return null;
        const pause = parsePause(text);
        await note(redis, { by, command: 'resume', detail: `paused by ${pause.by}` });
        return pause;
      }),
    request: (request, by, detail) =>
      asked(async (redis) => {
        await send(redis, request);
        await note(redis, { by, command: `device ${request.command}`, detail });
      }),
    dropState: (device) => asked((redis) => send(redis, { command: 'rehydrate', device })),
    note: (line) => asked((redis) => note(redis, line)),
  };
}
