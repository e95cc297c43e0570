import { execFile } from 'node:child_process';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createRecentErrors } from '../../src/lifecycle/recent-errors.ts';
import { everybodyEnters, isRoot } from '../../tools/servers/system-user.ts';

const script = fileURLToPath(new URL('./fixtures/panicking.ts', import.meta.url));

interface Ended {
  readonly code: number | string | null | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

describe('a panic', () => {
  let dir: string;
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'panic-'));
  });
  afterEach(async () => {
    await rm(dir, { recursive: true });
  });

  function die(how: string, into = dir, uid?: number): Promise<Ended> {
    const options = uid === undefined ? {} : { uid, gid: uid };
    return new Promise((resolve) => {
      execFile(process.execPath, [script, how, into], options, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : error.code, stdout, stderr });
      });
    });
  }

  async function onlyDump() {
    const [name, ...others] = await readdir(dir);
    expect(others).toEqual([]);
    const path = join(dir, name ?? '');
    return { path, text: await readFile(path, 'utf8'), mode: (await stat(path)).mode & 0o777 };
  }

  test.each([
    ['exception', 'uncaughtException'],
    ['rejection', 'unhandledRejection'],
    ['pipeline', 'pipeline'],
  ])('by %s logs, dumps and ends with 70', async (how, kind) => {
    const { code, stdout } = await die(how);

    expect(code).toBe(70);
    const line = JSON.parse(stdout);
    const { path, text, mode } = await onlyDump();
    expect(line).toMatchObject({ level: 'error', kind, dump: path });
    expect(mode).toBe(0o600);
    const dump = JSON.parse(text);
    expect(dump).toMatchObject({
      kind,
      instance: 'one',
      version: '1.2.3',
      entries_in_flight: 3,
      residual: 0,
      in_flight: [{ id: '0-0', records: 2, open: 1, rejected: 1, deliveries: 1 }, {}, {}],
    });
    expect(dump.payloads[0].fields[1]).toEqual({ base64: 'AP8=' });
    for (const said of [stdout, text]) {
      expect(said).not.toContain('marker-secret');
      expect(said).not.toContain('350000000000006');
    }
  });

  test('with 50,000 entries of 2 MB each writes a bounded dump', async () => {
    expect((await die('huge')).code).toBe(70);
    const { text } = await onlyDump();
    const dump = JSON.parse(text);

    expect(text.length).toBeLessThan(8 * 1024 * 1024);
    expect([dump.entries_in_flight, dump.in_flight.length]).toEqual([50_000, 10_000]);
    expect(dump.payloads[0].fields[1].cut_from_bytes).toBe(2_000_000);
    expect(dump.payloads.length).toBeLessThanOrEqual(100);
  });

  test('whose dump cannot be written still exits with 70, and logs the failure', async () => {
    const { code, stdout } = await die('exception', join(dir, 'not-there'));

    expect(code).toBe(70);
    expect(JSON.parse(stdout)).toMatchObject({ dump_failed: { code: 'ENOENT' } });
  });

  test('whose state cannot be read still exits with 70, and logs the failure', async () => {
    const { code, stdout } = await die('state');

    expect(code).toBe(70);
    expect(JSON.parse(stdout)).toMatchObject({
      dump_failed: { message: 'the state cannot be read' },
    });
  });

  test('keeps its ten newest dumps and does not touch other files', async () => {
    for (let number = 0; number < 12; number += 1) {
      const day = String(number + 1).padStart(2, '0');
      await writeFile(join(dir, `processor-panic-one-2026-01-${day}T00-00-00.000Z.json`), '{}');
    }
    await writeFile(join(dir, 'mine.json'), '{}');
    await die('exception');

    const names = (await readdir(dir)).sort();
    expect(names).toContain('mine.json');
    const dumps = names.filter((name) => name !== 'mine.json');
    expect(dumps).toHaveLength(10);
    expect(dumps[0]).toContain('2026-01-04');
  });

  const old = (instance: string, day: number) =>
    `processor-panic-${instance}-2026-01-${String(day).padStart(2, '0')}T00-00-00.000Z.json`;

  test('keeps the dumps of another instance whose name begins with its own', async () => {
    for (let day = 1; day <= 12; day += 1) await writeFile(join(dir, old('one-2', day)), '{}');
    await die('exception');

    const others = (await readdir(dir)).filter((name) => name.includes('-one-2-'));
    expect(others).toHaveLength(12);
  });

  test('keeps at most fifty dumps of all instances, because their names may change', async () => {
    for (let instance = 1; instance <= 6; instance += 1) {
      for (let day = 1; day <= 9; day += 1) {
        await writeFile(join(dir, old(`container${instance}`, day)), '{}');
      }
    }
    await die('exception');

    const dumps = (await readdir(dir)).sort();
    expect(dumps).toHaveLength(50);
    expect(dumps.filter((name) => name.includes('-one-'))).toHaveLength(1);
    expect(dumps.filter((name) => name.includes('-01T'))).toHaveLength(1);
    expect(dumps.filter((name) => name.includes('-02T'))).toHaveLength(6);
  });

  test('is dumped beside folders and links that have the names of its old dumps', async () => {
    for (let day = 1; day <= 12; day += 1) {
      if (day % 2 === 0) await mkdir(join(dir, old('one', day)));
      else await symlink('/etc/hostname', join(dir, old('one', day)));
    }
    const { code, stdout } = await die('exception');

    expect(code).toBe(70);
    expect(JSON.parse(stdout).dump).toContain(dir);
    expect(await readdir(dir)).toHaveLength(13);
  });

  const needs = 'needs root, to act as two users, and a checkout that every user may enter';
  const hasUsers = isRoot() && everybodyEnters(fileURLToPath(new URL('../../', import.meta.url)));
  describe.skipIf(!hasUsers)('in a folder shared by users', { meta: { needs } }, () => {
    const nobody = 65_534;

    test.each([
      ['with the sticky bit', 0o1777],
      ['which it may not list', 0o733],
    ])('%s is dumped beside files of others, which stay', async (_name, mode) => {
      for (let day = 1; day <= 60; day += 1) await writeFile(join(dir, old('one', day)), '{}');
      await chmod(dir, mode);
      const { code, stdout } = await die('exception', dir, nobody);

      expect(code).toBe(70);
      const { dump } = JSON.parse(stdout);
      expect((await stat(dump)).uid).toBe(nobody);
      expect(await readdir(dir)).toHaveLength(61);
    });

    test('counts only its own files against the limit', async () => {
      for (let day = 1; day <= 30; day += 1) {
        const path = join(dir, old('one', day));
        await writeFile(path, '{}');
        if (day % 2 === 0) await chown(path, nobody, nobody);
      }
      await chmod(dir, 0o1777);
      await die('exception', dir, nobody);

      const names = await readdir(dir);
      const owners = await Promise.all(
        names.map(async (name) => (await stat(join(dir, name))).uid),
      );
      expect(owners.filter((uid) => uid === nobody)).toHaveLength(10);
      expect(owners.filter((uid) => uid !== nobody)).toHaveLength(15);
    });
  });
});

test('only the last failures are remembered', () => {
  const errors = createRecentErrors(2);
  for (const code of ['a', 'b', 'c']) errors.add(code, `message ${code}`);
  expect(errors.list().map(({ code }) => code)).toEqual(['b', 'c']);
});
