import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadConfig } from '../../src/config/load.ts';
import { variables } from '../../src/config/variables.ts';
import {
  expectHardened,
  expectHealthyNeeds,
  expectNoPassword,
  expectOwnMounts,
} from './compose/hygiene.ts';
import {
  type ComposeFile,
  milliseconds,
  readCompose,
  serviceOf,
  variablesOf,
} from './compose/read.ts';
import { pairsOf, parseDockerfile } from './image/dockerfile.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(repository, path), 'utf8');

const required = {
  PROCESSOR_IMAGE: 'git.example.com/fleet/processor',
  PROCESSOR_TAG: '1.4.0',
  SECRETS_DIR: '/srv/processor/secrets',
};
const paths = ['compose.yaml', 'deploy/compose.deploy.yaml'] as const;
const files = paths.map((path) => ({ path, file: readCompose(read(path), required) }));
const [development, deploy] = files.map(({ file }) => file) as [ComposeFile, ComposeFile];

/** Variables as processor has them in the container: the image's own, then the compose file's. */
function environmentOf(file: ComposeFile): Readonly<Record<string, string>> {
  const image = parseDockerfile(read('Dockerfile')).stages.at(-1);
  if (image === undefined) throw new Error('the Dockerfile has no stage');
  return { ...pairsOf(image, 'ENV'), ...file.services.processor?.environment };
}

describe.each(files)('$path', ({ path, file }) => {
  const text = read(path);
  const services = Object.entries(file.services);

  test('gives processor a configuration that it takes, with the passwords from files', () => {
    const loaded = loadConfig(environmentOf(file), {
      hostname: 'container',
      readFile: (name) => `secret-of-${name.split('/').at(-1)}\n`,
    });
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    const { redis, database, http, lifecycle } = loaded.config;
    const login = ({ username, password }: URL) => `${username}: ${password}`;
    expect(
      [redis.url, database.url, database.migrationUrl].map((url) => login(new URL(url))),
    ).toEqual([
      'processor: secret-of-redis_processor_password',
      'processor_writer: secret-of-postgres_writer_password',
      // Without a user of its own: it only verifies.
      'processor_writer: secret-of-postgres_writer_password',
    ]);
    expect(database.migrations).toBe('verify');
    expect(http).toEqual({ host: '0.0.0.0', port: 9464 });
    // Beyond the budget: closing pool, connections and endpoint, a few seconds at most.
    const grace = milliseconds(file.services.processor?.stop_grace_period ?? '');
    expect(grace).toBeGreaterThanOrEqual(lifecycle.drainBudgetMs + 10_000);
  });

  test('sets only variables that processor reads', () => {
    const known = Object.values(variables).flatMap(({ name, secret }) =>
      secret ? [name, `${name}_FILE`] : [name],
    );
    const ofTheImage = ['NODE_ENV', 'NODE_OPTIONS', 'PROCESSOR_REVISION'];
    const unknown = Object.keys(environmentOf(file)).filter(
      (name) => !known.includes(name) && !ofTheImage.includes(name),
    );
    expect(unknown).toEqual([]);
  });

  test('holds no password: every secret is a file, mounted where it is read', () => {
    expectNoPassword(file);
  });

  test('gives each container the secrets it logs in with, and the superuser’s to two alone', () => {
    const holders = (secret: string) =>
      services.filter(([, one]) => one.secrets?.includes(secret)).map(([name]) => name);
    expect(holders('postgres_password').sort()).toEqual(['roles', 'timescaledb']);
    expect(holders('postgres_migrator_password').sort()).toEqual(['cli', 'migrate', 'roles']);
    expect(holders('redis_processor_password')).toEqual(['processor']);
    expect(holders('redis_operator_password').sort()).toEqual(['cli', 'migrate', 'redis']);
    for (const [name, { environment = {}, secrets = [] }] of services) {
      const read = [...Object.values(environment), JSON.stringify(serviceOf(file, name))].join();
      for (const secret of secrets) expect(read, name).toContain(`/run/secrets/${secret}`);
    }
  });

  test('gives the operator’s commands the settings of the service, but a user of their own', () => {
    const { REDIS_URL: own, ...service } = serviceOf(file, 'processor').environment ?? {};
    const { REDIS_URL: operator, ...commands } = serviceOf(file, 'cli').environment ?? {};
    expect(new URL(own ?? '').username).toBe('processor');
    expect(new URL(operator ?? '').username).toBe('processor-operator');
    const { MIGRATIONS: _verify, REDIS_PASSWORD_FILE: _file, ...settings } = service;
    expect(commands).toEqual({
      ...settings,
      PROCESSOR_OPERATOR: 'unknown',
      REDIS_PASSWORD_FILE: '/run/secrets/redis_operator_password',
      MIGRATION_POSTGRES_URL: expect.stringMatching('processor_migrator@'),
      MIGRATION_POSTGRES_PASSWORD_FILE: '/run/secrets/postgres_migrator_password',
    });
    const { PROCESSOR_OPERATOR: _operator, ...migrate } =
      serviceOf(file, 'migrate').environment ?? {};
    expect(migrate).toEqual({
      ...settings,
      REDIS_URL: operator,
      REDIS_PASSWORD_FILE: '/run/secrets/redis_operator_password',
      MIGRATION_POSTGRES_URL: commands.MIGRATION_POSTGRES_URL,
      MIGRATION_POSTGRES_PASSWORD_FILE: commands.MIGRATION_POSTGRES_PASSWORD_FILE,
    });
    expect(serviceOf(file, 'migrate').command).toEqual(['migrate', 'up', '--yes']);
    // Whatever starts it with the rest: it must not be a second service.
    expect(serviceOf(file, 'cli').command).toEqual(['--help']);
  });

  test('keeps metrics for longer than the window of the service level objectives', () => {
    const command = serviceOf(file, 'prometheus').command ?? [];
    const window = Number(read('docs/capacity.md').match(/^\| freshness .*\| (\d+) days \|/m)?.[1]);
    const kept = Number(command.join(' ').match(/retention\.time=(\d+)d/)?.[1]);
    expect(window).toBe(28);
    expect(kept).toBeGreaterThanOrEqual(window + 7);
  });

  test('runs every container with a read-only root, no capability, no root user and bounds', () => {
    expectHardened(file);
  });

  test('writes only to what is mounted: a volume of its own, or memory of a stated size', () => {
    expectOwnMounts(file);
    expect(serviceOf(file, 'processor').volumes).toEqual(['dumps:/var/lib/processor']);
  });

  test('starts each service when what it needs is healthy, and that has a check', () => {
    expectHealthyNeeds(file);
    const needed = Object.keys(serviceOf(file, 'processor').depends_on ?? {});
    expect(needed.sort()).toEqual(['migrate', 'redis', 'timescaledb']);
    const before = Object.keys(serviceOf(file, 'migrate').depends_on ?? {});
    expect(before.sort()).toEqual(['redis', 'roles', 'timescaledb']);
  });

  test('can run several instances: none has a name or a port that only one can have', () => {
    const { environment = {}, ports = [] } = serviceOf(file, 'processor');
    expect(environment).not.toHaveProperty('CONSUMER_NAME');
    expect(ports).toEqual(['127.0.0.1:9464-9473:9464']);
    expect(read('deploy/prometheus/prometheus.yml')).toContain('names: [processor]');
    expect(serviceOf(file, 'prometheus').networks).toContain('monitoring');
    expect(serviceOf(file, 'processor').networks).toContain('monitoring');
  });

  test('keeps the servers in a network that leads nowhere', () => {
    expect(file.networks.servers).toMatchObject({ internal: true });
    for (const name of ['redis', 'timescaledb', 'roles']) {
      expect(serviceOf(file, name).networks).toEqual(['servers']);
    }
  });

  test('takes the image of each server by digest', () => {
    const digest = `sha256:${'0'.repeat(64)}`;
    const given = { ...required, REDIS_IMAGE: `redis:8.10.1-alpine@${digest}` };
    const timescale = { TIMESCALEDB_IMAGE: `timescale/timescaledb:2.29.2-pg17@${digest}` };
    const { services } = readCompose(text, { ...given, ...timescale });
    expect(services.redis?.image).toBe(given.REDIS_IMAGE);
    expect(services.roles?.image).toBe(timescale.TIMESCALEDB_IMAGE);
  });

  test('names every image with an exact version', () => {
    for (const [name, { image, build }] of services) {
      if (build !== undefined || image === 'processor:dev') continue;
      expect(image, name).toMatch(/:v?\d+\.\d+\.\d+(-[\w.]+)?(@sha256:[0-9a-f]{64})?$/);
    }
  });

  test('runs the servers that the tests run against, where those are containers', () => {
    const tested = read('tools/servers/containers.ts');
    for (const name of ['redis', 'timescaledb']) {
      expect(tested).toContain(`'${serviceOf(file, name).image}'`);
    }
  });
});

describe('compose.yaml for trying', () => {
  test('listens on this machine alone', () => {
    for (const { ports = [] } of Object.values(development.services)) {
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
    }
  });

  test('binds folders that are there, read-only', () => {
    for (const { volumes = [] } of Object.values(development.services)) {
      for (const mount of volumes.filter((text) => text.startsWith('.'))) {
        const [source = '', , mode] = mount.split(':');
        expect(existsSync(join(repository, source)), source).toBe(true);
        expect(mode).toBe('ro');
      }
    }
  });

  test('sends a simulated fleet only when the profile demo asks for it', () => {
    expect(development.services.simulator?.profiles).toEqual(['demo']);
    expect(development.services.cli?.profiles).toEqual(['cli']);
    const others = Object.entries(development.services).filter(
      ([name]) => name !== 'simulator' && name !== 'cli',
    );
    for (const [name, { profiles }] of others) expect(profiles, name).toBeUndefined();
  });
});

describe('deploy/compose.deploy.yaml', () => {
  const text = read('deploy/compose.deploy.yaml');

  test('builds nothing and binds nothing from the repository', () => {
    for (const [name, { build, volumes = [] }] of Object.entries(deploy.services)) {
      expect(build, name).toBeUndefined();
      for (const mount of volumes) expect(mount, name).toMatch(/^[a-z]+:\//);
    }
    for (const { file } of [...Object.values(deploy.secrets), ...Object.values(deploy.configs)]) {
      expect(file).toMatch(/^\/srv\//);
    }
  });

  test('is refused without the image, its tag and the folder of the secrets', () => {
    for (const name of Object.keys(required)) {
      const less = Object.fromEntries(Object.entries(required).filter(([key]) => key !== name));
      expect(() => readCompose(text, less)).toThrow(`${name} is required`);
    }
  });

  test('takes the image by tag, by tag and digest, and that of the monitoring by its own tag', () => {
    const digest = `1.4.0@sha256:${'0'.repeat(64)}`;
    const { services } = readCompose(text, {
      ...required,
      PROCESSOR_TAG: digest,
      MONITORING_TAG: '1.4.0',
    });
    expect(services.processor?.image).toBe(`git.example.com/fleet/processor:${digest}`);
    expect(services.grafana?.image).toBe('git.example.com/fleet/processor-grafana:1.4.0');
    const { prometheus } = deploy.services;
    expect(prometheus?.image).toBe('git.example.com/fleet/processor-prometheus:1.4.0');
  });

  test('tells in its head what every variable is for', () => {
    const [head = ''] = text.split('\nname:');
    for (const name of variablesOf(text)) expect(head).toMatch(new RegExp(`\\b${name}\\b`));
  });

  test('has processor alone, and a profile each for the servers and the monitoring', () => {
    const profiles = Object.fromEntries(
      Object.entries(deploy.services).map(([name, service]) => [name, service.profiles ?? []]),
    );
    expect(profiles).toEqual({
      migrate: [],
      processor: [],
      cli: ['cli'],
      redis: ['servers'],
      timescaledb: ['servers'],
      roles: ['servers'],
      prometheus: ['monitoring'],
      grafana: ['monitoring'],
    });
    // A service that waits for one of a profile that is off would otherwise not be started at all.
    for (const name of ['migrate', 'processor']) {
      const needs = Object.entries(serviceOf(deploy, name).depends_on ?? {});
      for (const [needed, { required: isRequired = true }] of needs) {
        expect(isRequired, `${name} needs ${needed}`).toBe(needed === 'migrate');
      }
    }
  });

  test('runs the same servers and the same monitoring as compose.yaml', () => {
    for (const name of ['redis', 'timescaledb', 'roles', 'prometheus', 'grafana']) {
      const {
        image: _image,
        profiles: _profiles,
        ports: _ports,
        ...mine
      } = serviceOf(deploy, name);
      const { image: _tried, ports: _opened, volumes, ...tried } = serviceOf(development, name);
      // What is bound there is in the image here.
      const own = volumes?.filter((mount) => !mount.startsWith('.'));
      expect(mine, name).toEqual({ ...tried, volumes: own });
    }
  });
});
