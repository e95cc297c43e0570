import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { temporaryPrefix } from '../../tools/servers/system-user.ts';
import { eventually } from '../../tools/service.ts';
import { environmentHere } from '../project/compose/here.ts';
import { readCompose, serviceOf } from '../project/compose/read.ts';
import { type ComposeRedis, startComposeRedis } from '../project/compose/redis.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));

/** The compose files that start a Redis. */
export const composeFiles = ['compose.yaml', 'deploy/compose.deploy.yaml'] as const;
export type ComposeFileName = (typeof composeFiles)[number];

/** The users of deploy/redis/users.acl. Like production, this Redis has no administrator. */
const secretOf = {
  processor: 'redis_processor_password',
  'processor-operator': 'redis_operator_password',
  ingestion: 'redis_ingestion_password',
} as const;
export type ShippedUser = keyof typeof secretOf;

/** A Redis with the ACL file, the options and the data folder that a compose file gives it. */
export interface ShippedRedis {
  readonly redis: ComposeRedis;
  /** The folder that stands for /run/secrets; its ACL file takes effect at the next start. */
  readonly secrets: string;
  /** A client logged in as the user; `close` disconnects it. */
  connect(user: ShippedUser): Redis;
  /** REDIS_* variables of the compose file's service, for this machine. */
  environment(service: 'processor' | 'cli'): Record<string, string>;
  /** Ends Redis by the signal and starts it again; resolves when its health check passes. */
  restart(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  close(): Promise<void>;
}

/** What a compose file says of these services. */
export function readShipped(name: ComposeFileName, secrets: string) {
  const variables = {
    PROCESSOR_IMAGE: 'x',
    PROCESSOR_TAG: '1.0.0',
    SECRETS_DIR: secrets,
    USER: 'anna',
  };
  const file = readCompose(readFileSync(join(repository, name), 'utf8'), variables);
  return {
    redis: serviceOf(file, 'redis'),
    processor: serviceOf(file, 'processor'),
    cli: serviceOf(file, 'cli'),
  };
}

/** Makes the secrets again, as for a new version: the ACL file then is that of this version. */
export function makeSecrets(secrets: string): void {
  execFileSync(join(repository, 'deploy/make-secrets'), [secrets]);
}

/** @param editAcl changes the ACL file before the first start */
export async function startShippedRedis(
  name: ComposeFileName,
  editAcl: (acl: string) => string = (acl) => acl,
): Promise<ShippedRedis> {
  const secrets = await mkdtemp(temporaryPrefix('secrets'));
  makeSecrets(secrets);
  const aclFile = join(secrets, 'redis_users.acl');
  const acl = editAcl(readFileSync(aclFile, 'utf8'));
  rmSync(aclFile);
  writeFileSync(aclFile, acl);
  const services = readShipped(name, secrets);
  const redis = await startComposeRedis(services.redis, secrets);
  const clients: Redis[] = [];
  const untilHealthy = () =>
    eventually('Redis is healthy', async () => (await redis.isHealthy()) || undefined);
  await untilHealthy();
  return {
    redis,
    secrets,
    connect(username) {
      const password = readFileSync(join(secrets, secretOf[username]), 'utf8');
      const client = new Redis(redis.port, { username, password, disableClientInfo: true });
      client.on('error', () => {});
      clients.push(client);
      return client;
    },
    environment(service) {
      // The tables are in a database of the suite: only Redis is as shipped here.
      const places = { secrets, redisPort: redis.port, postgresPort: 0 };
      const all = Object.entries(environmentHere(services[service], places));
      return Object.fromEntries(all.filter(([variable]) => variable.startsWith('REDIS_')));
    },
    async restart(signal) {
      await redis.end(signal);
      await redis.startAgain();
      await untilHealthy();
    },
    async close() {
      for (const client of clients) client.disconnect();
      await redis.close();
      await rm(secrets, { recursive: true });
    },
  };
}
