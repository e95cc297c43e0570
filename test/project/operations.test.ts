import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { childEnvironment } from '../../tools/child-environment.ts';
import {
  createDirectus,
  insertAssignment,
  insertDevice,
  insertVehicle,
} from '../../tools/domain-fixture.ts';
import { programFile } from '../../tools/program.ts';
import { findProgram } from '../../tools/servers/programs.ts';
import { eventually } from '../../tools/service.ts';
import { ended } from '../cli/command.ts';
import { domainOn } from '../cli/domain-stack.ts';
import { entryFields, imei, stream, useStack } from '../cli/stack.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(join(root, 'OPERATIONS.md'), 'utf8');

interface Command {
  readonly heading: string;
  readonly text: string;
}

/** Its commands rename databases; restore.test.ts runs them. */
const elsewhere = ['Restore a backup'];

/** Every command of the page's blocks, with the section it stands in. */
const commands: readonly Command[] = (() => {
  const found: Command[] = [];
  let heading = '';
  let isBlock = false;
  for (const line of page.split('\n')) {
    if (line.startsWith('```')) isBlock = !isBlock;
    else if (!isBlock && line.startsWith('#')) heading = line.replace(/^#+ /, '');
    else if (isBlock && line.startsWith('$ ')) found.push({ heading, text: line.slice(2) });
  }
  return found.filter((command) => !elsewhere.includes(command.heading));
})();

/** No engine runs here: these are held against the compose file, and what they run inside is run. */
const isOfDocker = ({ text }: Command) => /^docker /.test(text);
const services = [
  ...readFileSync(join(root, 'compose.yaml'), 'utf8').matchAll(/^ {2}([a-z-]+):$/gm),
].map(([, name]) => name);

describe('the commands of OPERATIONS.md', () => {
  test.each(commands.filter(isOfDocker))(
    '$heading: $text names services that there are',
    ({ text }) => {
      if (/^docker (stats|inspect) /.test(text)) return;
      const words = text
        .replace(/ --(env-file|file|tail|since|project-name) \S+/g, '')
        .split(/ [|>] /, 1)[0]
        ?.match(/^docker compose (?:run --rm|exec|ps|logs|restart|stop)(?: -a| -aq| -T)? (.+)$/);
      const named = (words?.[1] ?? '').split(' ');
      expect(services).toContain(named[0]);
    },
  );

  test('look for log messages that the source has', () => {
    const folder = join(root, 'src');
    const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
    const sources = names
      .filter((name) => name.endsWith('.ts'))
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('\n');
    const sought = commands.flatMap(({ text }) => {
      const words = /^docker compose logs .*\| grep (?:-\w+ )?"([^"]+)"/.exec(text)?.[1] ?? '';
      // At each | outside of parentheses.
      return words.split(/\|(?![^(]*\))/).filter((one) => one !== '');
    });
    expect(sought.length).toBeGreaterThan(5);
    expect(sought.filter((one) => !new RegExp(one).test(sources))).toEqual([]);
  });

  const stack = useStack();

  test('run, one after the other, on a service with the trouble they are for', async () => {
    const run = await prepare();
    const failed: unknown[] = [];
    const known = new Set<string>();
    for (const command of commands) {
      const text = insideOf(command.text);
      // Runbooks repeat the first commands.
      if (text === null || known.has(text)) continue;
      known.add(text);
      const { code, stdout, stderr } = await run(text);
      if (!mayEndWith(text, code) || (speaks(text) && stdout.trim() === '')) {
        failed.push({ ...command, code, stdout, stderr });
      }
    }
    expect(failed).toEqual([]);
  }, 240_000);

  /** What a command runs inside a container is our own program; the rest of docker is not run. */
  function insideOf(text: string): string | null {
    const inside =
      /^docker compose .*(?:run --rm cli|exec processor node \S+processor\.js) (.+)$/.exec(text);
    if (inside !== null) {
      const words = inside[1] ?? '';
      return /^(domain )?(pause|resume)/.test(words)
        ? `processor ${words} --yes`
        : `processor ${words}`;
    }
    return text.startsWith('docker ') ? null : text;
  }

  /** grep ends with 1 when nothing matches; status and verify have words of their own. */
  function mayEndWith(text: string, code: number | null): boolean {
    if (/\| grep [^|]*$/.test(text)) return code === 0 || code === 1;
    if (/^processor (domain )?(status|verify|contract)/.test(text)) return code === 0 || code === 3;
    return code === 0;
  }

  function speaks(text: string): boolean {
    return /^processor /.test(text) && !text.includes('| grep');
  }

  /** The Directus side of the domain, with the page's device. */
  async function createFleet() {
    const client = new pg.Client(stack.env().POSTGRES_URL);
    await client.connect();
    await createDirectus(client, 'fleet');
    const device = await insertDevice(client, imei(6));
    const vehicle = await insertVehicle(client, 'vehicle');
    await insertAssignment(client, device, vehicle, { validFrom: new Date(0) });
    await client.end();
  }

  /** A running service, a stored device, dead letters, and a dead consumer with entries. */
  async function prepare() {
    const service = stack.service('processor-1', { ...domainOn, CLAIM_INTERVAL_MS: '500' });
    await service.untilReady();
    await createFleet();
    for (const index of [6, 8]) await stack.redis.xadd(stream, '*', ...entryFields(index));
    for (const index of [7, 9, 10]) {
      await stack.redis.xadd(stream, '*', ...entryFields(index, { latitude: 95 }));
    }
    await stack.redis.xadd(stream, '*', 'nonsense', 'x');
    const letters = await eventually('the letters', async () => {
      const found = await stack.redis.xrange(`${stream}:dlq`, '-', '+');
      return found.length === 4 ? found : undefined;
    });
    await stack.processor('pause', '--reason', 'the test leaves entries behind', '--yes');
    await eventually('it is paused', async () =>
      (await service.metric('processor_consumption_paused')) === 1 ? true : undefined,
    );
    // The read that was under way when it was paused ends after its block time.
    await new Promise((resolve) => setTimeout(resolve, 500));
    await stack.redis.xadd(stream, '*', ...entryFields(20));
    const dead = ['GROUP', 'processor', 'processor-2'] as const;
    await stack.redis.xreadgroup(...dead, 'COUNT', 5, 'STREAMS', stream, '>');
    await stack.processor('resume', '--yes');
    // `--min-idle 30` of the page is 30 seconds; here the entry is made to look it.
    const [pending] = await stack.redis
      .xpending(stream, 'processor', '-', '+', 1)
      .then((all) => [all].flat(1));
    const id = String(Array.isArray(pending) ? pending[0] : '');
    await stack.redis.xclaim(stream, 'processor', 'processor-2', 0, id, 'IDLE', 40_000, 'JUSTID');
    const port = new URL(await service.url()).port;
    return shellOf(port, letters[0]?.[0] ?? '');
  }

  /** A shell in which the page's words are the real programs. */
  function shellOf(port: string, letter: string) {
    const folder = mkdtempSync(join(tmpdir(), 'operations-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const { REDIS_URL = '', POSTGRES_URL = '' } = stack.env();
    const shim = (name: string, script: string) => {
      writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(folder, name), 0o755);
    };
    shim('processor', `exec ${process.execPath} ${programFile()} "$@"`);
    shim('redis-cli', `exec ${whereIs('redis-cli')} -u ${REDIS_URL} "$@"`);
    if (findProgram('curl') === null) {
      const standIn = join(import.meta.dirname, 'fixtures', 'curl.ts');
      shim('curl', `exec ${process.execPath} ${standIn} "$@"`);
    }
    return async (text: string) => {
      const words = text
        .replaceAll('127.0.0.1:9464', `127.0.0.1:${port}`)
        .replaceAll('<dead-letter-id>', letter)
        .replaceAll('<device_id>', `'${imei(6)}'`);
      const child = spawn('/bin/sh', ['-c', words], {
        cwd: folder,
        env: {
          ...stack.env(),
          ...domainOn,
          ...childEnvironment(),
          PATH: `${folder}:${process.env.PATH}`,
          POSTGRES_URL,
          TIMESCALEDB: 'optional',
          READ_BLOCK_MS: '200',
          RETENTION: '2y',
          TS_MAX_PAST: '700d',
          CLAIM_THRESHOLD_MS: '900000',
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      return await ended(child);
    };
  }

  function whereIs(program: string): string {
    return execFileSync('/bin/sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim();
  }
});
