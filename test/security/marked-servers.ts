import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';
import { type RunningService, startService } from '../../tools/service.ts';
import { type FreshDatabase, freshDatabase } from '../setup/database.ts';
import { secrets } from './markers.ts';
import { ask } from './roles.ts';

export interface MarkedServers {
  /** A folder of the tests' own. */
  readonly dir: string;
  readonly redis: Redis;
  /** As the superuser of the suite. */
  readonly databaseUrl: string;
  /** What was written, by where. */
  readonly written: Map<string, string>;
  redisUrl(password: string | null, port?: number): string;
  postgresUrl(password: string | null, port?: number): string;
  /** The same for a role that does not exist: a server that trusts everybody refuses that too. */
  strangersUrl(password: string): string;
  service(env: Readonly<Record<string, string>>): RunningService;
  /** Notes everything that a service has written and shows. */
  collect(name: string, service: RunningService): Promise<void>;
  /** Fails with the places where it is found. */
  expectNothing(found: (text: string) => string[]): void;
}

/** A Redis, and for each test of the suite a database, with planted passwords. */
export function useMarkedServers(): MarkedServers {
  let dir: string;
  let redisServer: LocalServer;
  let redis: Redis;
  let database: FreshDatabase;
  let role: string;
  let running: RunningService[] = [];
  let written: Map<string, string>;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'processor-markers-'));
    redisServer = await startRedis();
    redis = new Redis(redisServer.url);
    await redis.config('SET', 'requirepass', secrets.redis);
    redis.disconnect();
    redis = new Redis(redisServer.port, { password: secrets.redis });
  });
  afterAll(async () => {
    redis.disconnect();
    await redisServer.stop();
    await rm(dir, { recursive: true });
  });
  beforeEach(async () => {
    await redis.flushall();
    database = await freshDatabase();
    role = `processor_test_marked_${database.url.slice(-12)}`;
    const password = secrets.postgres.replaceAll("'", "''");
    await ask(database.url, `CREATE ROLE ${role} LOGIN SUPERUSER PASSWORD '${password}'`);
    written = new Map();
  });
  afterEach(async () => {
    for (const service of running) await service.end('SIGKILL');
    running = [];
    await database.drop();
    const server = new URL(database.url);
    server.pathname = '/postgres';
    await ask(server.href, `DROP ROLE ${role}`);
  });

  function redisUrl(password: string | null, port = redisServer.port): string {
    const url = new URL(`redis://127.0.0.1:${port}`);
    if (password !== null) url.password = encodeURIComponent(password);
    return url.href;
  }

  function postgresUrl(password: string | null, port?: number): string {
    const url = new URL(database.url);
    url.username = role;
    url.password = password === null ? '' : encodeURIComponent(password);
    if (port !== undefined) url.port = String(port);
    return url.href;
  }

  function service(env: Readonly<Record<string, string>>): RunningService {
    const started = startService({ CONSUMER_NAME: 'one', READ_BLOCK_MS: '200', ...env });
    running.push(started);
    return started;
  }

  async function collect(name: string, service: RunningService): Promise<void> {
    written.set(`${name}: logs`, service.logs.map((line) => JSON.stringify(line)).join('\n'));
    written.set(`${name}: stderr`, service.stderr());
    if (service.process.exitCode !== null || service.process.signalCode !== null) return;
    for (const path of ['metrics', 'health/live', 'health/ready', 'health/startup', 'nowhere']) {
      const answer = await fetch(`${await service.url()}/${path}`);
      const headers = JSON.stringify([...answer.headers]);
      written.set(`${name}: /${path}`, `${headers}${await answer.text()}`);
    }
  }

  function expectNothing(found: (text: string) => string[]): void {
    const places = [...written].map(([where, text]) => [where, found(text)] as const);
    expect(places.filter(([, markers]) => markers.length > 0)).toEqual([]);
  }

  return {
    get dir() {
      return dir;
    },
    get redis() {
      return redis;
    },
    get databaseUrl() {
      return database.url;
    },
    get written() {
      return written;
    },
    redisUrl,
    postgresUrl,
    strangersUrl: (password) => postgresUrl(password).replace(role, `${role}_not`),
    service,
    collect,
    expectNothing,
  };
}
