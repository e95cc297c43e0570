import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { askPostgres, askRedis, untilAnswered } from './ask.ts';
import type { RunningServer } from './local-server.ts';
import { postgresSettings, settingArgs } from './postgres.ts';
import { redisArgs } from './redis.ts';

const redisImage = 'redis:8.10.1-alpine';
const timescaledbImage = 'timescale/timescaledb:2.29.2-pg17';

const pingTimeoutMs = 1_000;
/** Includes pulling the images. */
const startTimeoutMs = 300_000;
const answerTimeoutMs = 60_000;

/** Whether a Docker engine answers where testcontainers looks for one; at most a second each. */
export async function engineAnswers(): Promise<boolean> {
  const { DOCKER_HOST: host } = process.env;
  if (host) return await hostAnswers(host);
  for (const socket of engineSockets()) {
    if (existsSync(socket) && (await socketAnswers(socket))) return true;
  }
  return false;
}

/** In testcontainers' order; its file of properties may name a further one by `docker.host`. */
function engineSockets(): readonly string[] {
  const { XDG_RUNTIME_DIR: runtime } = process.env;
  return [
    '/var/run/docker.sock',
    ...(runtime ? [join(runtime, 'docker.sock')] : []),
    join(homedir(), '.docker', 'run', 'docker.sock'),
    join(homedir(), '.docker', 'desktop', 'docker.sock'),
    ...(process.getuid ? [`/run/user/${process.getuid()}/docker.sock`] : []),
  ];
}

async function hostAnswers(host: string): Promise<boolean> {
  if (!URL.canParse(host)) return false;
  const { protocol, pathname, hostname, port } = new URL(host);
  if (protocol === 'unix:') return await socketAnswers(pathname);
  return await new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port || 2375), timeout: pingTimeoutMs });
    const answer = (reached: boolean) => {
      socket.destroy();
      resolve(reached);
    };
    socket.once('connect', () => answer(true));
    socket.once('timeout', () => answer(false));
    socket.once('error', () => answer(false));
  });
}

function socketAnswers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const ping = request({ socketPath, path: '/_ping', timeout: pingTimeoutMs }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.once('timeout', () => ping.destroy());
    ping.once('error', () => resolve(false));
    ping.once('close', () => resolve(false));
    ping.end();
  });
}

export async function redisContainer(durability: 'test' | 'real'): Promise<RunningServer> {
  const container = await startContainer(redisImage, 6379, {}, [
    'redis-server',
    ...redisArgs(durability),
  ]);
  const url = `redis://${container.address}`;
  return await answering(url, container.stop, () => askRedis(url));
}

export async function postgresContainer(durability: 'test' | 'real'): Promise<RunningServer> {
  const password = randomBytes(16).toString('hex');
  const environment = {
    POSTGRES_PASSWORD: password,
    POSTGRES_INITDB_ARGS: '--locale=C --encoding=UTF8',
    TIMESCALEDB_TELEMETRY: 'off',
    // Our own settings hold, not those that fit the host's whole memory.
    NO_TS_TUNE: 'true',
  };
  const container = await startContainer(timescaledbImage, 5432, environment, [
    'postgres',
    ...settingArgs(postgresSettings(durability, true)),
  ]);
  const url = `postgres://postgres:${password}@${container.address}/postgres`;
  return await answering(url, container.stop, () => askPostgres(url, 'SELECT 1'));
}

interface Container {
  readonly address: string;
  stop(): Promise<void>;
}

/** testcontainers' own helper container removes what a run that was killed -9 leaves. */
async function startContainer(
  image: string,
  port: number,
  environment: Record<string, string>,
  command: readonly string[],
): Promise<Container> {
  // Loaded here only: most runs on a bare machine do without it.
  const { GenericContainer } = await import('testcontainers');
  const container = await new GenericContainer(image)
    .withExposedPorts(port)
    .withEnvironment(environment)
    .withCommand([...command])
    .withStartupTimeout(startTimeoutMs)
    .start();
  return {
    address: `${container.getHost()}:${container.getMappedPort(port)}`,
    stop: async () => {
      await container.stop({ remove: true, removeVolumes: true });
    },
  };
}

async function answering(
  url: string,
  stop: () => Promise<void>,
  ask: () => Promise<unknown>,
): Promise<RunningServer> {
  let stopped: Promise<void> | null = null;
  const stopOnce = () => {
    stopped ??= stop();
    return stopped;
  };
  try {
    await untilAnswered('the container', ask, answerTimeoutMs);
  } catch (error) {
    await stopOnce();
    throw error;
  }
  return { url, how: 'container', stop: stopOnce };
}
