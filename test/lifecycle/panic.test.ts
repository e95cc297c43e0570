import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRecentErrors } from '../../src/lifecycle/recent-errors.ts';

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

  function die(how: string, into = dir): Promise<Ended> {
    return new Promise((resolve) => {
      execFile(process.execPath, [script, how, into], (error, stdout, stderr) => {
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

  it.each([
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
      ...{ kind, instance: 'one', version: '1.2.3', entries_in_flight: 3, residual: 0 },
      in_flight: [{ id: '0-0', records: 2, open: 1, deliveries: 1 }, {}, {}],
    });
    expect(dump.payloads[0].fields[1]).toEqual({ base64: 'AP8=' });
    for (const said of [stdout, text]) {
      expect(said).not.toContain('marker-secret');
      expect(said).not.toContain('350000000000006');
    }
  });

  it('with 50,000 entries of 2 MB each still gives a bounded dump', async () => {
    expect((await die('huge')).code).toBe(70);
    const { text } = await onlyDump();
    const dump = JSON.parse(text);

    expect(text.length).toBeLessThan(8 * 1024 * 1024);
    expect([dump.entries_in_flight, dump.in_flight.length]).toEqual([50_000, 10_000]);
    expect(dump.payloads[0].fields[1].cut_from_bytes).toBe(2_000_000);
    expect(dump.payloads.length).toBeLessThanOrEqual(100);
  });

  it('whose dump cannot be written ends with 70 all the same, and says so', async () => {
    const { code, stdout } = await die('exception', join(dir, 'not-there'));

    expect(code).toBe(70);
    expect(JSON.parse(stdout)).toMatchObject({ dump_failed: { code: 'ENOENT' } });
  });

  it('whose state cannot be read ends with 70 all the same, and says so', async () => {
    const { code, stdout } = await die('state');

    expect(code).toBe(70);
    expect(JSON.parse(stdout)).toMatchObject({
      dump_failed: { message: 'the state cannot be read' },
    });
  });

  it('keeps ten dumps, the newest, and leaves what is not its own', async () => {
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
});

it('of failures only the last are remembered', () => {
  const errors = createRecentErrors(2);
  for (const code of ['a', 'b', 'c']) errors.add(code, `message ${code}`);
  expect(errors.list().map(({ code }) => code)).toEqual(['b', 'c']);
});
