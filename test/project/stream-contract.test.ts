import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import { decodeReasons, validateReasons, writeReasons } from '../../src/core/types.ts';
import { encodeTcp } from '../../src/simulator/avl-encoder.ts';
import { findProgram } from '../../tools/servers/programs.ts';
import { eventually } from '../../tools/service.ts';
import { deadLetters, stream, useStack } from '../cli/stack.ts';

const run = promisify(execFile);
const page = readFileSync(new URL('../../docs/stream-contract.md', import.meta.url), 'utf8');
const producer = join(import.meta.dirname, 'fixtures', 'producer.ts');
/** The examples have fixed times, and this test is to pass in later years too. */
const anyTime = { TS_MAX_PAST: '50y', RETENTION: 'off' };

/** The text below a heading of the page, up to the next one. */
function section(heading: string): string {
  const text = page.split(/^## /m).find((part) => part.startsWith(`${heading}\n`));
  if (text === undefined) throw new Error(`docs/stream-contract.md has no section ${heading}`);
  return text;
}

function blocks(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms'))].map(
    ([, block = '']) => block,
  );
}

/** The cells of every table row of a text, without headings. */
function tableRows(text: string): string[][] {
  const cells = (line: string) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
  const lines = text.split('\n');
  return lines.filter((line) => /^\| *`/.test(line)).map(cells);
}

function code(cell: string | undefined): string {
  return cell?.match(/^`(.*)`$/)?.[1] ?? '';
}

describe('docs/stream-contract.md', () => {
  const stack = useStack();

  async function startService() {
    const service = stack.service('processor-1', anyTime);
    await service.untilReady();
    return service;
  }

  /** Waits until every entry of the stream is acknowledged. */
  async function untilSettled(entries: number): Promise<void> {
    await eventually(`${entries} entries are settled`, async () => {
      const pending: unknown = await stack.redis.xpending(stream, 'processor');
      const groups: unknown[] = [await stack.redis.xinfo('GROUPS', stream)].flat(2);
      const read = groups[groups.indexOf('entries-read') + 1];
      return Array.isArray(pending) && pending[0] === 0 && read === entries ? true : undefined;
    });
  }

  /** The reason of each dead letter, by the order of their entries. */
  async function rejectedReasons(): Promise<string[]> {
    const found = await stack.redis.xrange(deadLetters, '-', '+');
    const named = found.map(([, fields]) => {
      const value = (name: string) => fields[fields.indexOf(name) + 1] ?? '';
      return [value('entry_id'), value('reason')] as const;
    });
    return named
      .toSorted(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }))
      .map(([, reason]) => reason);
  }

  /** A shell in which `redis-cli` asks the Redis of this test. */
  async function shell(text: string): Promise<void> {
    const folder = await mkdtemp(join(tmpdir(), 'stream-contract-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const script = `#!/bin/sh\nexec ${findProgram('redis-cli')} -u ${stack.env().REDIS_URL} "$@"\n`;
    await writeFile(join(folder, 'redis-cli'), script, { mode: 0o755 });
    const PATH = `${folder}:${process.env.PATH}`;
    await run('/bin/sh', ['-ec', text], { cwd: folder, env: { PATH } });
  }

  test('its good examples give the rows that it shows', async () => {
    await startService();
    const examples = [
      ...blocks(section('Payload entry'), 'sh'),
      ...blocks(section('Frame entry'), 'sh'),
    ];
    for (const example of examples) await shell(example);
    await untilSettled(examples.length);

    const rows = await stack.query<{ row: Record<string, unknown> }>(
      "SELECT to_jsonb(p) - 'ingested_at' AS row FROM positions AS p ORDER BY device_id, ts",
    );
    const shown = blocks(section('Rows'), 'json').join('').trim().split('\n');
    expect(rows.map(({ row }) => row)).toEqual(shown.map((line) => JSON.parse(line)));
    expect(await rejectedReasons()).toEqual([]);
  });

  test('its rejected examples become dead letters with the reasons that it names', async () => {
    await startService();
    const examples = blocks(section('Rejected entries'), 'sh').join('');
    const named = [...examples.matchAll(/^# (\w+)$/gm)].map(([, reason]) => reason);
    await shell(examples);
    await untilSettled(named.length);
    expect(named.length).toBeGreaterThan(2);
    expect(await rejectedReasons()).toEqual(named);
  });

  test('its table of payload keys has the required keys and ranges of the service', async () => {
    await startService();
    const keys = tableRows(section('Payload entry').split('`payload` has exactly')[1] ?? '');
    const expected: (string | null)[] = [];
    const pipeline = stack.redis.pipeline();
    let second = 0;
    const send = (change: (payload: Record<string, unknown>) => void, reason: string | null) => {
      second += 1;
      const timestamp = new Date(Date.UTC(2026, 10, 21, 2, 0, second)).toISOString();
      const payload = { ...goodPayload, timestamp };
      const { device_id } = payload;
      change(payload);
      const fields = ['device_id', device_id, 'ts', timestamp, 'codec', '16'];
      pipeline.xadd(stream, '*', ...fields, 'payload', JSON.stringify(payload));
      expected.push(reason);
    };
    for (const [name, required, , range = ''] of keys) {
      const key = code(name);
      const isRequired = required === 'yes';
      if (key === '' || !/^(yes|no)$/.test(required ?? '')) continue;
      send((payload) => Reflect.deleteProperty(payload, key), isRequired ? 'payload_shape' : null);
      const bounds = range.match(/(-?\d+) to (-?\d+)/);
      if (bounds === null) continue;
      const [min, max] = [Number(bounds[1]), Number(bounds[2])];
      for (const value of [min, max]) send((payload) => (payload[key] = value), null);
      for (const value of [min - 1, max + 1]) {
        send((payload) => (payload[key] = value), `${key}_out_of_range`);
      }
    }
    send((payload) => (payload.unknown = 1), 'payload_shape');
    await pipeline.exec();
    await untilSettled(expected.length);
    expect(expected.length).toBeGreaterThan(45);
    expect(await rejectedReasons()).toEqual(expected.filter((reason) => reason !== null));
  });

  test('its list of reasons is the closed list of the code', () => {
    const listed = tableRows(section('Reasons')).map(([stage, reason]) => [
      code(stage),
      code(reason),
    ]);
    expect(listed).toEqual([
      ...decodeReasons.map((reason) => ['decode', reason]),
      ...validateReasons.map((reason) => ['validate', reason]),
      ...writeReasons.map((reason) => ['write', reason]),
      ['conflict', 'conflict'],
    ]);
  });

  test('its fields of a dead letter are those that the service writes', async () => {
    await startService();
    const long = 'x'.repeat(70_000);
    const whole = ['device_id', '350000000000003', 'data', 'x', 'n'.repeat(300), '1'];
    await stack.redis.xadd(stream, '*', ...whole, 'long', long);
    await untilSettled(1);
    const [letter] = await stack.redis.xrange(deadLetters, '-', '+');
    const written = (letter?.[1] ?? []).filter((_, at) => at % 2 === 0);
    const kinds = written.map((name) => name.replace(/^(f|cut|sha256):.*/s, '$1:<name>'));
    const listed = tableRows(section('Dead letters')).flatMap(([names = '']) =>
      names.split(', ').map(code),
    );
    expect(new Set(listed)).toEqual(new Set([...kinds, 'fields_left_out']));
  });

  test('its columns are those of the table, with their types and NULLs', async () => {
    const service = await startService();
    const columns = await stack.query<{ name: string; type: string; nullable: string }>(
      `SELECT column_name AS name, data_type AS type, is_nullable AS nullable
         FROM information_schema.columns WHERE table_name = 'positions' ORDER BY ordinal_position`,
    );
    const listed = tableRows(section('Rows')).map(([name, type = '', , isNull]) => ({
      name: code(name),
      type: type.replace('timestamptz', 'timestamp with time zone'),
      nullable: isNull === 'never' ? 'NO' : 'YES',
    }));
    expect(listed).toEqual(columns);
    await service.end('SIGTERM');
  });

  test('a producer written from it alone sends 1,000 entries of both kinds, all stored', async () => {
    await startService();
    const packets = Array.from({ length: 500 }, (_, index) => packetLine(index));
    const child = run(process.execPath, [producer, stack.env().REDIS_URL ?? '', '500']);
    child.child.stdin?.end(packets.join('\n'));
    await child;
    await untilSettled(1000);

    expect(await rejectedReasons()).toEqual([]);
    const [counted] = await stack.query(
      `SELECT count(*)::int AS rows, count(*) FILTER (WHERE codec = '8E')::int AS payloads,
              count(DISTINCT device_id)::int AS devices FROM positions`,
    );
    expect(counted).toEqual({ rows: 500 + 500 * 3, payloads: 500, devices: 20 });
    const [row] = await stack.query(
      "SELECT attributes FROM positions WHERE device_id = '350000000001007' ORDER BY ts LIMIT 1",
    );
    const attributes = { 16: '1152921504606846983', 66: 12_007, 239: 1, 10800: '0007ff' };
    expect(row).toEqual({ attributes });
  });
});

const goodPayload: Record<string, unknown> & { readonly device_id: string } = {
  device_id: '350000000000004',
  latitude: 54.6872,
  longitude: 25.2797,
  altitude: 112,
  angle: 214,
  speed: 43,
  satellites: 11,
  priority: 0,
  event_io_id: 239,
  generation_type: 5,
  attributes: {},
};

/** What a tracker sends: a codec 8 packet of three records. */
function packetLine(index: number): string {
  const base = { priority: 0, latitude: 54.7, longitude: 25.3, altitude: 100, angle: 90 };
  const io = { one: [239, 1], two: [], four: [], eight: [], sixteen: null, variable: [] };
  const records = [0, 1, 2].map((at) => {
    const ts = Date.UTC(2026, 10, 21, 2) + (index * 3 + at) * 1000;
    const rest = { speed: 50, satellites: 9, eventIoId: 0, generationType: null, cell: null };
    return { record: { ...base, ...rest, ts, io }, fault: null };
  });
  return `${350_000_000_002_000 + (index % 10)} ${encodeTcp('8', records).toString('hex')}`;
}
