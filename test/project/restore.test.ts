import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { childEnvironment } from '../../tools/child-environment.ts';
import { programFile } from '../../tools/program.ts';
import { askPostgres } from '../../tools/servers/ask.ts';
import { findProgram } from '../../tools/servers/programs.ts';
import { eventually } from '../../tools/service.ts';
import { ended } from '../cli/command.ts';
import { entryFields, stream, useStack } from '../cli/stack.ts';
import { hasTimescaledb } from '../setup/database.ts';
import { serverProgram } from '../setup/server-program.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(join(root, 'OPERATIONS.md'), 'utf8');
const programs = ['pg_dump', 'pg_restore', 'createdb', 'psql'];

/** The commands of "Restore a backup" by the number of their step; 0 before the first step. */
function commandsOf(text: string): { step: number; text: string }[] {
  let step = 0;
  return text.split('\n').flatMap((line) => {
    step = Number(/^(\d+)\. /.exec(line)?.[1] ?? step);
    const command = /^\s*\$ (.*)$/.exec(line)?.[1];
    return command === undefined ? [] : [{ step, text: command }];
  });
}

const section = page.split(/^## /m).find((part) => part.startsWith('Restore a backup\n')) ?? '';
const [backup = '', restore = ''] = section.split('**Restore.**');

describe('"Restore a backup" of OPERATIONS.md', () => {
  const stack = useStack();

  test('brings back every record, those stored after the backup too', async ({ skip }) => {
    const { POSTGRES_URL = '', REDIS_URL = '' } = stack.env();
    const paths = await Promise.all(programs.map((name) => serverProgram(POSTGRES_URL, name)));
    if (paths.includes(null)) {
      skip('needs pg_dump and pg_restore of the server’s version (set TEST_POSTGRES_BIN)');
    }
    const { hostname, port, username, password, pathname } = new URL(POSTGRES_URL);
    const database = pathname.slice(1);
    onTestFinished(async () => {
      const server = new URL(POSTGRES_URL);
      server.pathname = '/postgres';
      await askPostgres(server.href, `DROP DATABASE IF EXISTS ${database}_before WITH (FORCE)`);
    });
    const folder = await mkdtemp(join(tmpdir(), 'restore-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const shims = {
      processor: `${process.execPath} ${programFile()}`,
      'redis-cli': `${findProgram('redis-cli')} -u ${REDIS_URL}`,
      ...Object.fromEntries(programs.map((name, at) => [name, paths[at] ?? ''])),
    };
    for (const [name, command] of Object.entries(shims)) {
      await writeFile(join(folder, name), `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
    }
    const run = async (text: string) => {
      const words = text
        .replaceAll(/\btelemetry(?!:)/g, database)
        .replace('--host=db.example.com --port=5432', `--host=${hostname} --port=${port}`)
        .replace('--username=postgres', `--username=${username}`);
      const child = spawn('/bin/sh', ['-c', words], {
        cwd: folder,
        env: {
          ...stack.env(),
          ...childEnvironment(),
          PATH: `${folder}:${process.env.PATH}`,
          PGPASSWORD: decodeURIComponent(password),
          TIMESCALEDB: 'optional',
          READ_BLOCK_MS: '200',
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      return { text, ...(await ended(child)) };
    };
    const store = async (from: number, to: number) => {
      for (let index = from; index < to; index += 1) {
        await stack.redis.xadd(stream, '*', ...entryFields(index));
      }
      await untilStored(to);
    };
    const untilStored = (rows: number) =>
      eventually(`${rows} rows are stored`, async () => {
        const [found] = await stack.query('SELECT count(*)::int AS n FROM positions');
        const pending: unknown = await stack.redis.xpending(stream, 'processor');
        const isSettled = Array.isArray(pending) && pending[0] === 0;
        return isSettled && JSON.stringify(found) === JSON.stringify({ n: rows })
          ? true
          : undefined;
      });

    let service = stack.service('processor-1');
    await service.untilReady();
    await store(0, 30);
    for (const { text } of commandsOf(backup)) expect(await run(text)).toMatchObject({ code: 0 });
    await store(30, 50);
    // The loss that the backup is for.
    await stack.query('DELETE FROM positions');

    let stopped = false;
    for (const { step, text } of commandsOf(restore)) {
      if (text.includes('timescaledb') && !hasTimescaledb()) continue;
      if (step === 3 && !stopped) {
        expect(await service.end('SIGTERM')).toBe(0);
        stopped = true;
      }
      if (step === 6) {
        service = stack.service('processor-1');
        await eventually('consumption is paused', async () =>
          (await service.metric('processor_consumption_paused')) === 1 ? true : undefined,
        );
        const rows = await stack.query('SELECT count(*)::int AS n FROM positions');
        expect(rows, 'rows of the backup').toEqual([{ n: 30 }]);
      }
      if (text.startsWith('processor verify')) await untilStored(50);
      const found = await run(text);
      // A status right after `resume` may still report the lag.
      if (!text.startsWith('processor status')) expect(found).toMatchObject({ code: 0 });
      if (text.startsWith('processor verify')) expect(found.stdout).toMatch(/^missing +0$/m);
    }
    expect(
      commandsOf(restore).filter(({ text }) => text.startsWith('processor verify')),
    ).toHaveLength(1);
  });
});
