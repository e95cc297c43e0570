import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runConfig } from '../../src/cli/config.ts';
import { variables } from '../../src/config/variables.ts';
import { programFile } from '../../tools/program.ts';
import { secrets, secretsIn } from '../security/markers.ts';

const required = { POSTGRES_URL: 'postgres://db.example/telemetry' };

/** In this process; `asProcess` shows that the program does the same. */
function config(env: Environment, json: boolean) {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const { signal } = new AbortController();
  const status = runConfig({ env, stdin: new PassThrough(), stdout, stderr, signal }, { json });
  return { status, stdout: String(stdout.read() ?? ''), stderr: String(stderr.read() ?? '') };
}

type Environment = Readonly<Record<string, string>>;

function asProcess(env: Environment, ...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [programFile(), ...words], {
    env: { PATH: process.env.PATH, ...env },
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

interface Row {
  readonly name: string;
  readonly value: string | null;
  readonly source: string;
  readonly file: string | null;
  readonly secret: boolean;
}

function rowsOf(env: Environment) {
  const { status, stdout, stderr } = config({ ...required, ...env }, true);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const { variables: rows }: { variables: readonly Row[] } = JSON.parse(stdout);
  return { rows, row: (name: string) => rows.find((one) => one.name === name) };
}

describe('processor config', () => {
  let folder: string;
  let file: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'processor-config-'));
    file = join(folder, 'password');
    await writeFile(file, `${secrets.redis}\n`);
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('prints every variable with its value and the source default', () => {
    const { rows } = rowsOf({});

    expect(rows.map(({ name }) => name)).toEqual(Object.values(variables).map(({ name }) => name));
    for (const { name, value, source, file: from } of rows) {
      if (name === 'POSTGRES_URL') continue;
      expect([name, source, from]).toEqual([name, 'default', null]);
      const { default: fallback } = Object.values(variables).find((one) => one.name === name) ?? {};
      if (fallback !== null) expect([name, value]).toEqual([name, fallback]);
    }
  });

  test('prints the effective value of a variable that is not set', () => {
    const { row } = rowsOf({ REDIS_TELEMETRY_STREAM: 'fleet' });

    expect(row('CONSUMER_NAME')?.value).toBe(hostname());
    expect(row('INSTANCE_ID')?.value).toBe(hostname());
    expect(row('DEAD_LETTER_STREAM')?.value).toBe('fleet:dlq');
    expect(row('MIGRATION_POSTGRES_URL')?.value).toBe(required.POSTGRES_URL);
    expect(row('REDIS_PASSWORD')).toMatchObject({ value: null, source: 'default', secret: true });
  });

  test('prints whether a value comes from the environment or a file', () => {
    const { row } = rowsOf({
      BATCH_ROWS: '100',
      RETENTION: '',
      REDIS_PASSWORD_FILE: file,
      POSTGRES_URL: 'postgres://writer@db.example/telemetry?sslmode=verify-full',
    });

    expect(row('BATCH_ROWS')).toMatchObject({ value: '100', source: 'environment' });
    expect(row('RETENTION')).toMatchObject({ value: 'off', source: 'default' });
    expect(row('REDIS_PASSWORD')).toMatchObject({ value: '***', source: 'file', file });
    expect(row('POSTGRES_URL')).toMatchObject({
      value: 'postgres://***@db.example/telemetry?sslmode=verify-full',
      source: 'environment',
    });
    // The password in force is that of the file: it makes a login of the default.
    expect(row('REDIS_URL')).toMatchObject({
      value: expect.stringMatching(/^redis:\/\/:\*\*\*@127\.0\.0\.1:6379$/),
      source: 'default',
    });
  });

  test('prints aligned columns for people, in groups', () => {
    const { status, stdout } = config({ ...required, REDIS_PASSWORD_FILE: file }, false);
    const lines = stdout.split('\n');

    expect(status).toBe(0);
    const column = lines[0]?.indexOf('SOURCE') ?? -1;
    expect(lines[0]).toMatch(/^VARIABLE +VALUE +SOURCE$/);
    expect(lines.filter((line) => line.startsWith('# ')).length).toBe(12);
    const line = lines.find((one) => one.startsWith('REDIS_PASSWORD ')) ?? '';
    expect(line.slice(column)).toBe(`file ${file}`);
    expect(lines.find((one) => one.startsWith('READ_COUNT '))?.slice(column)).toBe('default');
  });

  test('prints all problems of a wrong configuration, as run does, and ends with 1', () => {
    const wrong = { POSTGRES_URL: 'nonsense', HTTP_PORT: 'many', BATCH_ROWS: '0' };
    const reported = asProcess(wrong, 'config');

    expect(reported).toMatchObject({ status: 1, stdout: '' });
    expect(reported).toEqual(asProcess(wrong, 'run'));
    const json = config(wrong, true);
    expect(json.status).toBe(1);
    const { ok, problems }: { ok: boolean; problems: { variable: string }[] } = JSON.parse(
      json.stdout,
    );
    expect(ok).toBe(false);
    expect(problems.map(({ variable }) => variable).sort()).toEqual(Object.keys(wrong).sort());
  });

  describe('never prints a secret that is planted', () => {
    const encoded = encodeURIComponent;
    const urls = {
      REDIS_URL: `redis://u:${encoded(secrets.redis)}@127.0.0.1:6379`,
      POSTGRES_URL: `postgres://u:${encoded(secrets.postgres)}@db/telemetry`,
      MIGRATION_POSTGRES_URL: `postgres://${encoded(secrets.migration)}@db/telemetry`,
      DOMAIN_POSTGRES_URL: `postgres://${encoded(secrets.domain)}@db/telemetry`,
      TRACING_ENDPOINT: `http://u:${encoded(secrets.tracing)}@collector:4318/v1/traces`,
    };
    const values = {
      REDIS_PASSWORD: secrets.redis,
      POSTGRES_PASSWORD: secrets.postgres,
      MIGRATION_POSTGRES_PASSWORD: secrets.migration,
      DOMAIN_POSTGRES_PASSWORD: secrets.domain,
    };
    const cases: readonly (readonly [string, () => Environment, number])[] = [
      ['in URLs', () => urls, 0],
      ['in variables', () => ({ ...urls, ...values }), 0],
      [
        'in a parameter',
        () => ({ ...urls, POSTGRES_URL: `postgres://db/x?password=${encoded(secrets.migration)}` }),
        1,
      ],
      ['in a file', () => ({ ...required, REDIS_PASSWORD_FILE: file }), 0],
      ['in a word that was meant for a URL', () => ({ ...urls, ENVIRONMENT: urls.REDIS_URL }), 0],
      ['in what is wrong', () => ({ ...urls, ...values, POSTGRES_URL: secrets.postgres }), 1],
      ['given twice', () => ({ ...urls, ...values, REDIS_PASSWORD_FILE: file }), 1],
      ['in place of a path', () => ({ ...urls, REDIS_PASSWORD_FILE: secrets.tracing }), 1],
      ['in place of a number', () => ({ ...urls, HTTP_PORT: urls.REDIS_URL }), 1],
      ['as a path of a certificate', () => ({ ...urls, REDIS_CA_FILE: urls.REDIS_URL }), 1],
    ];

    test.each(cases)('%s', (_where, env, expected) => {
      for (const json of [true, false]) {
        const { status, stdout, stderr } = config(env(), json);
        expect(status).toBe(expected);
        expect(`${stdout}${stderr}`.length).toBeGreaterThan(100);
        expect(secretsIn(stdout + stderr)).toEqual([]);
      }
    });
  });
});
