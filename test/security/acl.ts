import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';

const run = promisify(execFile);
const script = fileURLToPath(new URL('../../deploy/redis/make-acl', import.meta.url));

const secretNames = {
  processor: 'processor',
  'processor-operator': 'operator',
  ingestion: 'ingestion',
};
export type User = keyof typeof secretNames;
export const users = ['processor', 'processor-operator', 'ingestion'] as const;

export interface AclRedis {
  readonly server: LocalServer;
  /** A user that may do everything; the ACL file has none. */
  readonly admin: Redis;
  /** As a user would set it; the password is apart. */
  readonly url: (user: User) => string;
  readonly password: (user: User) => string;
  readonly connect: (user: User) => Redis;
  /** What was denied since the last call: user, reason and what it was. */
  denials(): Promise<string[]>;
  stop(): Promise<void>;
}

/** What deploy/redis/make-acl makes of users.acl, or of other templates, with this folder's passwords. */
export async function renderAcl(
  secrets: string,
  stream: string,
  templates: readonly string[] = [],
): Promise<string> {
  return (await run('sh', [script, secrets, stream, ...templates])).stdout;
}

/** A Redis of its own with the users of deploy/redis/users.acl. */
export async function startAclRedis(stream: string): Promise<AclRedis> {
  const dir = await mkdtemp(join(tmpdir(), 'processor-acl-'));
  const file = join(dir, 'users.acl');
  const password = (user: User) => `${user}'s "pass\\word" #1 /${stream}`;
  for (const user of users) {
    const path = join(dir, `redis_${secretNames[user]}_password`);
    await writeFile(path, `${password(user)}\n`);
  }
  await writeFile(file, 'user default on nopass ~* &* +@all\n');
  const server = await startRedis({ durability: 'real', args: ['--aclfile', file] });
  const everybody = new Redis(server.url);
  const acl = await renderAcl(dir, stream);
  await writeFile(file, `${acl}user admin on >admin ~* &* +@all\n`);
  await everybody.acl('LOAD');
  everybody.disconnect();

  const connectAs = (username: string, secret: string): Redis => {
    // Without the ready check, like redis-cli: it asks INFO, which Redis refuses while a script runs.
    const client = new Redis(server.port, {
      username,
      password: secret,
      disableClientInfo: true,
      enableReadyCheck: false,
    });
    client.on('error', () => {});
    return client;
  };
  const admin = connectAs('admin', 'admin');
  return {
    server,
    admin,
    url: (user) => `redis://${user}@127.0.0.1:${server.port}`,
    password,
    connect: (user) => connectAs(user, password(user)),
    async denials() {
      const log = await admin.call('ACL', 'LOG');
      await admin.call('ACL', 'LOG', 'RESET');
      if (!Array.isArray(log)) throw new TypeError('ACL LOG answers a list');
      return log.map((line: unknown) => {
        const facts = Array.isArray(line) ? line.map(String) : [];
        const fact = (name: string) => facts[facts.indexOf(name) + 1];
        return `${fact('username')} ${fact('reason')} ${fact('object')}`;
      });
    },
    async stop() {
      admin.disconnect();
      await server.stop();
      await rm(dir, { recursive: true });
    },
  };
}
