import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { formatProblems, loadConfig } from '../../src/config/load.ts';
import { createPrimaryFinder } from '../../src/stream/primary-finder.ts';
import { createConnection, openRedis } from '../../src/stream/redis.ts';
import { commandRedis } from '../../tools/servers/ask.ts';
import { freePort } from '../../tools/servers/ports.ts';
import { startSentinel } from '../../tools/servers/redis-kinds.ts';
import { type LocalServer, startRedis } from '../../tools/servers/servers.ts';
import { eventually } from '../../tools/service.ts';
import { silent } from '../db/positions.ts';
import { makeCertificates } from './certificates.ts';

const key = '{telemetry:teltonika}';
/** Sentinels and nodes ask for the certificate's own name; not for 127.0.0.1. */
const wrongName = { kind: 'configuration', code: 'ERR_TLS_CERT_ALTNAME_INVALID' };

describe('TLS to a server that others name', () => {
  const made = new AsyncDisposableStack();
  let ca: string;
  let node: LocalServer;
  let server: LocalServer;
  const ports = { node: 0, server: 0, sentinel: 0 };

  beforeAll(async () => {
    const certificates = await makeCertificates();
    made.defer(certificates.remove);
    const authority = await certificates.authority('ours');
    ca = authority.ca;
    const { cert, key: file } = await authority.issue('good', 'DNS:localhost');
    for (const name of ['node', 'server', 'sentinel'] as const) ports[name] = await freePort();
    const settings = (port: number) =>
      Object.entries({
        'tls-port': String(port),
        'tls-cert-file': cert,
        'tls-key-file': file,
        'tls-ca-cert-file': ca,
        'tls-auth-clients': 'no',
      });
    const args = (port: number) => settings(port).flatMap(([name, value]) => [`--${name}`, value]);
    node = await startRedis({
      args: [
        ...args(ports.node),
        '--cluster-enabled',
        'yes',
        // Without it CLUSTER SLOTS names the ports for plain text.
        '--tls-cluster',
        'yes',
        '--cluster-port',
        String(await freePort()),
      ],
    });
    made.defer(node.stop);
    server = await startRedis({ args: args(ports.server) });
    made.defer(server.stop);
    const lines = settings(ports.sentinel).map((line) => line.join(' '));
    const sentinel = await startSentinel(server.port, lines);
    made.defer(sentinel.stop);
    await commandRedis(node.url, 'CLUSTER', 'ADDSLOTSRANGE', 0, 16_383);
    await eventually('the node serves its slots', async () =>
      String(await commandRedis(node.url, 'CLUSTER', 'INFO')).includes('cluster_state:ok')
        ? true
        : undefined,
    );
  });
  afterAll(() => made.disposeAsync());

  /** The port at which the connection arrived. */
  async function connect(env: Readonly<Record<string, string>>): Promise<string> {
    const all = { POSTGRES_URL: 'postgres://db/x', REDIS_TELEMETRY_STREAM: key, ...env };
    const readFile = (path: string) => readFileSync(path, 'utf8');
    const loaded = loadConfig(all, { hostname: 'test', readFile });
    if (!loaded.ok) throw new Error(formatProblems(loaded.problems));
    const { redis } = loaded.config;
    const primaries = createPrimaryFinder(redis);
    const named = { ...redis, primaries, key, connectionName: 'test', onReconnect: () => {} };
    const connection = createConnection(() => openRedis(named, silent), key);
    try {
      const connected = await connection.ready();
      return /laddr=\S*:(\d+)/.exec(String(await connected.client('INFO')))?.[1] ?? '';
    } finally {
      connection.close();
    }
  }

  test('a sentinel and the primary that it names are spoken to, encrypted', async () => {
    const env = {
      REDIS_URL: `rediss+sentinel://localhost:${ports.sentinel}/telemetry`,
      REDIS_CA_FILE: ca,
    };
    const map = (host: string) => `127.0.0.1:${server.port}=${host}:${ports.server}`;

    expect(await connect({ ...env, REDIS_NAT_MAP: map('localhost') })).toBe(String(ports.server));
    await expect(connect({ ...env, REDIS_NAT_MAP: map('127.0.0.1') })).rejects.toMatchObject(
      wrongName,
    );
    await expect(
      connect({ ...env, REDIS_URL: env.REDIS_URL.replace('localhost', '127.0.0.1') }),
    ).rejects.toMatchObject(wrongName);
  });

  test('the node that owns the slot needs a certificate for the name that it announces', async () => {
    const env = {
      REDIS_URL: `rediss+cluster://localhost:${ports.node}`,
      REDIS_CA_FILE: ca,
    };
    const announce = (type: string) =>
      commandRedis(node.url, 'CONFIG', 'SET', 'cluster-preferred-endpoint-type', type);
    await commandRedis(node.url, 'CONFIG', 'SET', 'cluster-announce-hostname', 'localhost');

    await announce('hostname');
    expect(await connect(env)).toBe(String(ports.node));
    await announce('ip');
    await commandRedis(node.url, 'CONFIG', 'SET', 'cluster-announce-ip', '127.0.0.1');
    await eventually('the node announces its address', async () =>
      String(await commandRedis(node.url, 'CLUSTER', 'SLOTS')).includes('127.0.0.1')
        ? true
        : undefined,
    );
    await expect(connect(env)).rejects.toMatchObject(wrongName);
  });
});
