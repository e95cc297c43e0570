import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { variables } from '../../src/config/variables.ts';
import {
  expectHardened,
  expectHealthyNeeds,
  expectNoPassword,
  expectOwnMounts,
} from './compose/hygiene.ts';
import { readCompose, serviceOf } from './compose/read.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(repository, path), 'utf8');
const base = readCompose(read('compose.yaml'), {});
const file = readCompose([read('compose.yaml'), read('compose.ha.yaml')], {});
const servers = ['redis', 'redis-2', 'redis-3'];
const sentinels = ['sentinel-1', 'sentinel-2', 'sentinel-3'];
const clients = ['processor', 'migrate', 'cli', 'simulator'];

test('compose.ha.yaml adds two replicas, three sentinels and a second instance, and nothing else', () => {
  const added = Object.keys(file.services).filter((name) => !(name in base.services));
  expect(added.sort()).toEqual([...servers.slice(1), ...sentinels]);
  expect(serviceOf(file, 'processor').scale).toBe(2);
});

test('compose.ha.yaml keeps to what holds for compose.yaml', () => {
  expectNoPassword(file);
  expectHardened(file);
  expectOwnMounts(file);
  expectHealthyNeeds(file);
  for (const name of [...servers, ...sentinels]) {
    const { image, networks, ports, volumes } = serviceOf(file, name);
    expect(image).toBe(serviceOf(base, 'redis').image);
    expect(networks, name).toEqual(['servers']);
    expect(ports, name).toBeUndefined();
    expect(volumes).toEqual([`${name}:/data`]);
  }
  const images = readCompose([read('compose.yaml'), read('compose.ha.yaml')], {
    REDIS_IMAGE: 'redis:9.0.0-alpine',
  });
  for (const name of [...servers, ...sentinels]) {
    expect(serviceOf(images, name).image).toBe('redis:9.0.0-alpine');
  }
});

test('the three servers and the three sentinels differ in their name and first role alone', () => {
  for (const names of [servers, sentinels]) {
    const [first, ...others] = names.map((name) => {
      const { environment, volumes, ...rest } = serviceOf(file, name);
      expect(environment?.NODE).toBe(name);
      return { command: rest.command, healthcheck: rest.healthcheck, memory: rest.mem_limit };
    });
    for (const other of others) expect(other).toEqual(first);
  }
  const roles = servers.map((name) => serviceOf(file, name).environment?.FIRST_ROLE);
  expect(roles).toEqual(['', 'replicaof redis 6379', 'replicaof redis 6379']);
});

test('every client asks all sentinels, with variables that processor reads', () => {
  const known = Object.values(variables).flatMap(({ name, secret }) =>
    secret ? [name, `${name}_FILE`] : [name],
  );
  for (const name of clients) {
    const { environment = {}, secrets = [] } = serviceOf(file, name);
    const before = serviceOf(base, name).environment?.REDIS_URL ?? '';
    const hosts = sentinels.map((sentinel) => `${sentinel}:26379`).join();
    expect(environment.REDIS_URL).toBe(
      before.replace('redis:', 'redis+sentinel:').replace('redis:6379', `${hosts}/telemetry`),
    );
    expect(secrets).toContain('redis_sentinel_password');
    const ofRedis = Object.keys(environment).filter((variable) => variable.startsWith('REDIS_'));
    expect(ofRedis.filter((variable) => !known.includes(variable))).toEqual([]);
  }
});

test('no client holds a password of the servers among themselves', () => {
  const holders = (secret: string) =>
    Object.entries(file.services)
      .filter(([, { secrets = [] }]) => secrets.includes(secret))
      .map(([name]) => name)
      .sort();
  expect(holders('redis_replica_password')).toEqual(servers);
  expect(holders('redis_failover_password')).toEqual(sentinels);
  expect(holders('redis_processor_password')).toEqual(['processor']);
  expect(holders('redis_sentinel_password')).toEqual([...clients, ...sentinels].sort());
});
