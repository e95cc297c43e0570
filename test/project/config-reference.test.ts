import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { renderConfigReference } from '../../scripts/config-reference.ts';
import { renderEnvExample } from '../../scripts/env-example.ts';
import { groupVariables } from '../../src/config/groups.ts';
import { variables } from '../../src/config/variables.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(repository, path), 'utf8');
const fields = Object.values(variables);
const known = fields.flatMap(({ name, secret }) => (secret ? [name, `${name}_FILE`] : [name]));
const page = read('docs/configuration.md');
const example = read('.env.example');

describe('docs/configuration.md', () => {
  test('is what the table of variables makes', () => {
    expect(page).toBe(renderConfigReference());
  });

  test('has a line for every variable, and for no other', () => {
    const documented = [...page.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name);
    expect(documented).toEqual(fields.map(({ name }) => name));
  });

  test('tells the default, the shape, the meaning and the file form of each', () => {
    for (const { name, default: fallback, shape, meaning, secret } of fields) {
      const line = page.split('\n').find((text) => text.startsWith(`| \`${name}\` |`)) ?? '';
      for (const part of [shape, meaning]) expect(line).toContain(part.replaceAll('<', '&lt;'));
      if (fallback !== null) expect(line).toContain(`| \`${fallback}\` |`);
      expect(line.includes(`\`${name}_FILE\``)).toBe(secret);
    }
  });

  test('names variables that there are, and links to headings that it has', () => {
    const titles = [...page.matchAll(/^## (.*)$/gm)].map(([, title = '']) => title);
    const links = [...page.matchAll(/^- \[(.*)\]\(#(.*)\)$/gm)];
    expect(links.map(([, title]) => title)).toEqual(titles);
    for (const [, title = '', anchor] of links) {
      expect(anchor).toBe(title.toLowerCase().replaceAll(',', '').replaceAll(' ', '-'));
    }
    expect(namesIn(page).filter((name) => !known.includes(name))).toEqual([
      'NAME_FILE',
      'NODE_TLS_REJECT_UNAUTHORIZED',
    ]);
  });
});

describe('.env.example', () => {
  test('is what the table of variables makes, with every variable in it', () => {
    expect(example).toBe(renderEnvExample());
    const named = [...example.matchAll(/^#?([A-Z]\w*)=/gm)].map(([, name]) => name);
    expect(named).toEqual(fields.map(({ name }) => name));
  });

  test('has the groups of the page', () => {
    const titles = groupVariables().map(({ title }) => title);
    expect([...example.matchAll(/^## (.*)$/gm)].map(([, title]) => title)).toEqual(titles);
    expect(groupVariables().flatMap(({ members }) => members.map(({ field }) => field))).toEqual(
      fields,
    );
  });
});

/** Names with an underscore that are not ours, and who reads them. */
const ofOthers: Readonly<Record<string, readonly string[]>> = {
  'the stack of deploy/compose.deploy.yaml': [
    'COMPOSE_PROFILES',
    'GRAFANA_BIND',
    'MONITORING_TAG',
    'OPERATOR_REDIS_URL',
    'PROCESSOR_IMAGE',
    'PROCESSOR_TAG',
    'SECRETS_DIR',
    'SERVERS_NETWORK',
    'STACK_NAME',
    'METRICS_BIND',
    'REDIS_IMAGE',
    'TIMESCALEDB_IMAGE',
    'PROMETHEUS_IMAGE',
    'GRAFANA_IMAGE',
  ],
  'deploy/sql/roles.sql': [
    ...['MIGRATOR', 'WRITER', 'READER', 'DOMAIN'].map((role) => `PROCESSOR_${role}_PASSWORD_FILE`),
    'ON_ERROR_STOP',
  ],
  'terminals and codes of errors': [
    'NO_COLOR',
    'NO_NODE',
    'NO_PRIMARY',
    'NOT_CLUSTER',
    'READ_ONLY',
    'SENTINEL_NAME',
  ],
  'the tests': ['TEST_DATABASE_URL', 'TEST_POSTGRES_BIN', 'TEST_REDIS_URL'],
  'PostgreSQL and its image': ['POSTGRES_DB', 'POSTGRES_INITDB_ARGS', 'POSTGRES_USER'],
  psql: ['PGCONNECT_TIMEOUT'],
  'Docker Compose': ['COMPOSE_FILE'],
  systemd: ['AF_INET', 'AF_INET6', 'AF_UNIX'],
  'the commands, for the audit': ['PROCESSOR_OPERATOR'],
  TimescaleDB: ['TIMESCALEDB_TELEMETRY'],
  'redis-cli': ['REDISCLI_AUTH'],
  Directus: ['DB_EXCLUDE_TABLES', 'EXTENSIONS_PATH', 'WEBSOCKETS_ENABLED'],
  'the hook of deploy/sql/directus/websocket': ['MAX_WAITING', 'RETRY_MS'],
  'Node.js': [
    'CERT_HAS_EXPIRED',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'NODE_OPTIONS',
    'NODE_TLS_REJECT_UNAUTHORIZED',
  ],
  Grafana: [
    'GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES',
    'GF_ANALYTICS_CHECK_FOR_UPDATES',
    'GF_ANALYTICS_REPORTING_ENABLED',
    'GF_PLUGINS_PREINSTALL_DISABLED',
    'GF_SECURITY_ADMIN_PASSWORD__FILE',
  ],
  'the page of the configuration itself': ['NAME_FILE'],
};

describe('the variables named in README, OPERATIONS, docs, compose files and deploy/', () => {
  const paths = [
    'README.md',
    'OPERATIONS.md',
    'compose.yaml',
    ...under('docs'),
    ...under('deploy'),
  ];
  const named = paths.flatMap((path) => namesIn(read(path)).map((name) => ({ path, name })));

  test('exist', () => {
    const others = Object.values(ofOthers).flat();
    const unknown = named.filter(({ name }) => !known.includes(name) && !others.includes(name));
    expect(unknown).toEqual([]);
  });

  test('are still named there, where they are listed here', () => {
    const names = named.map(({ name }) => name);
    expect(
      Object.values(ofOthers)
        .flat()
        .filter((name) => !names.includes(name)),
    ).toEqual([]);
  });

  test('lead a reader to the page', () => {
    for (const path of ['README.md', 'OPERATIONS.md']) {
      expect(read(path)).toContain('](docs/configuration.md)');
    }
  });
});

function namesIn(text: string): string[] {
  const found = text.match(/(?<![\w.])[A-Z][A-Z0-9]*(?:__?[A-Z0-9]+)+(?!\w)/g) ?? [];
  return [...new Set(found)];
}

/** Files that git has, without what is made there and with neither data nor pictures. */
function under(folder: string): string[] {
  return readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .filter((path) => !path.startsWith('deploy/secrets') && !path.endsWith('.json'))
    .filter((path) => statSync(join(repository, path)).isFile());
}
