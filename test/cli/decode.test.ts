import { readFileSync } from 'node:fs';
import { PassThrough, Readable, Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { type DecodeArgs, runDecode } from '../../src/cli/decode.ts';

const file = new URL('../fixtures/teltonika/examples.json', import.meta.url);
const examples = z
  .array(z.object({ name: z.string(), hex: z.string() }))
  .parse(JSON.parse(readFileSync(file, 'utf8')));

function hexOf(start: string): string {
  const found = examples.find(({ name }) => name.startsWith(start));
  if (found === undefined) throw new Error(`no example ${start}`);
  return found.hex;
}

const plain: DecodeArgs = {
  hex: undefined,
  skipCrc: false,
  io16: false,
  names: false,
  model: 'FMB',
};

/** Runs the command on real streams and gives its exit code and its lines, parsed. */
async function run(input: Iterable<string | Buffer>, args: Partial<DecodeArgs> = {}) {
  const stdout = new PassThrough();
  const chunks: Buffer[] = [];
  stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const code = await runDecode({ ...plain, ...args }, { stdin: Readable.from(input), stdout });
  expect(stdout.writableEnded).toBe(false);
  const text = Buffer.concat(chunks).toString('utf8');
  const lines: unknown[] = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
  expect(text === '' || text.endsWith('\n')).toBe(true);
  return { code, lines };
}

const codeOf = (line: unknown): string =>
  z.object({ error: z.object({ code: z.string() }) }).parse(line).error.code;

test('a packet as argument is one line of exactly the documented shape', async () => {
  const { code, lines } = await run([], { hex: hexOf('codec8-tcp-2') });
  expect(code).toBe(0);
  expect(lines).toEqual([
    {
      codec: '8',
      transport: 'tcp',
      records: [
        {
          ts: '2019-06-10T10:05:36.000Z',
          priority: 1,
          latitude: 0,
          longitude: 0,
          altitude: 0,
          angle: 0,
          satellites: 0,
          speed: 0,
          eventIoId: 1,
          generationType: null,
          io: [
            { id: 21, width: 1, hex: '03' },
            { id: 1, width: 1, hex: '01' },
            { id: 66, width: 2, hex: '5e10' },
          ],
        },
      ],
    },
  ]);
});

test('each way to write a packet is the same packet', async () => {
  const hex = hexOf('codec8-tcp-1');
  const ways = [
    hex,
    hex.toLowerCase(),
    `0x${hex}`,
    `  ${hex.replace(/../g, '$& ')}  `,
    JSON.stringify(hex),
    JSON.stringify({ hex }),
    JSON.stringify({ device_id: '356307042441013', frame_hex: hex }),
    JSON.stringify({ frame: Buffer.from(hex, 'hex').toString('base64') }),
  ];
  const { code, lines } = await run([ways.join('\r\n')]);
  expect(code).toBe(0);
  expect(lines).toHaveLength(ways.length);
  expect(new Set(lines.map((line) => JSON.stringify(line))).size).toBe(1);
});

test('chunks may split a line anywhere, and blank lines are skipped', async () => {
  const text = `\n  \n${hexOf('codec8-tcp-1')}\r\n\n${hexOf('codec12-getinfo-request')}`;
  const whole = await run([text]);
  expect(whole.lines).toHaveLength(2);
  expect(await run([...text].map((character) => Buffer.from(character)))).toEqual(whole);
  expect(await run(['\n\n'])).toEqual({ code: 0, lines: [] });
});

test('every documented example is answered, and the two bad ones make the exit code 1', async () => {
  const { code, lines } = await run([examples.map(({ hex }) => hex).join('\n')]);
  expect(code).toBe(1);
  expect(lines).toHaveLength(examples.length);
  const failed = lines.flatMap((line, at) =>
    JSON.stringify(line).includes('"error"') ? [examples[at]?.name] : [],
  );
  expect(failed).toEqual(['codec16-udp-wiki (MALFORMED in the doc itself)', 'codec14-nack']);
});

test('skipping the CRC decodes the example that is printed with a wrong one', async () => {
  const { code, lines } = await run([], { hex: hexOf('codec14-nack'), skipCrc: true });
  expect(code).toBe(0);
  expect(lines).toEqual([
    {
      codec: '14',
      transport: 'tcp',
      message: {
        type: 17,
        text: '',
        hex: '',
        imei: '352093081452468',
        imeiHex: '0352093081452468',
      },
    },
  ]);
});

describe('a message', () => {
  test('of codec 12 is its type, text and bytes', async () => {
    const { lines } = await run([], { hex: hexOf('codec12-getinfo-request') });
    expect(lines).toEqual([
      {
        codec: '12',
        transport: 'tcp',
        message: { type: 5, text: 'getinfo', hex: '676574696e666f' },
      },
    ]);
  });

  test('of codecs 13 and 15 has its time', async () => {
    const { lines } = await run([`${hexOf('codec13')}\n${hexOf('codec15')}`]);
    expect(lines).toMatchObject([
      { codec: '13', message: { type: 5, text: 'getinfo', timestamp: '2019-07-19T13:52:52.000Z' } },
      {
        codec: '15',
        message: { type: 11, imei: '123456789123456', timestamp: '2023-11-08T10:40:36.000Z' },
      },
    ]);
  });
});

test('an IMEI handshake gives its IMEI', async () => {
  const { code, lines } = await run([], { hex: hexOf('imei-handshake-1') });
  expect(code).toBe(0);
  expect(lines).toEqual([{ codec: null, transport: 'tcp-handshake', imei: '356307042441013' }]);
});

test('a time outside all dates is null, with its digits beside it', async () => {
  const array = Buffer.from(hexOf('codec8-tcp-2'), 'hex').subarray(8, -4);
  array.fill(0xff, 2, 10);
  const { code, lines } = await run([], { hex: array.toString('hex') });
  expect(code).toBe(0);
  expect(lines).toMatchObject([
    { transport: 'array', records: [{ ts: null, tsMs: '18446744073709551615' }] },
  ]);
});

test('a record without GPS shows its cell data', async () => {
  // 2007-01-01T00:00:01Z, GPS element with cell only, one 1-byte IO.
  const { lines } = await run([], { hex: '0701 00000001 03 20 1234 5678 01 01 63 01' });
  expect(lines).toMatchObject([
    {
      codec: '7',
      records: [
        {
          ts: '2007-01-01T00:00:01.000Z',
          latitude: null,
          longitude: null,
          io: [{ id: 1, width: 1, hex: '63' }],
          cell: { lac: 0x1234, cid: 0x5678, rssi: null, operator: null },
        },
      ],
    },
  ]);
});

describe('a payload entry', () => {
  const payload = {
    device_id: '356307042441013',
    timestamp: '2026-01-01T00:00:00.000Z',
    latitude: 54.6,
    longitude: 25.2,
    altitude: 1,
    angle: 2,
    speed: 3,
    satellites: 4,
    priority: 0,
    attributes: { '78': { __bigint: '18446744073709551615' }, '239': 1 },
  };
  const entry = {
    device_id: '356307042441013',
    ts: '2026-01-01T00:00:00Z',
    codec: '8E',
    payload: JSON.stringify(payload),
  };

  test('is decoded, its payload as text or as an object', async () => {
    const { code, lines } = await run([
      `${JSON.stringify(entry)}\n${JSON.stringify({ ...entry, payload })}`,
    ]);
    const expected = {
      codec: '8E',
      transport: 'payload',
      records: [
        {
          ts: '2026-01-01T00:00:00.000Z',
          latitude: 54.6,
          longitude: 25.2,
          altitude: 1,
          angle: 2,
          speed: 3,
          satellites: 4,
          priority: 0,
          eventIoId: null,
          generationType: null,
          attributes: { '78': '18446744073709551615', '239': 1 },
        },
      ],
    };
    expect(code).toBe(0);
    expect(lines).toEqual([expected, expected]);
  });

  test('that disagrees with itself is an error', async () => {
    const { code, lines } = await run([
      [
        { ...entry, device_id: '352093081452251' },
        { ...entry, ts: '2026-01-01T00:00:01Z' },
        { ...entry, payload: '{' },
      ]
        .map((each) => JSON.stringify(each))
        .join('\n'),
    ]);
    expect(code).toBe(1);
    expect(lines.map(codeOf)).toEqual(['device_id_mismatch', 'ts_mismatch', 'json_invalid']);
  });
});

describe('with names', () => {
  /** One codec 8 record with these elements of one width, as hex without a frame's ends. */
  function arrayOf(width: 1 | 2 | 4 | 8, elements: readonly (readonly [number, string])[]): string {
    const count = elements.length.toString(16).padStart(2, '0');
    const groups = [1, 2, 4, 8].map((each) =>
      each === width
        ? count + elements.map(([id, hex]) => id.toString(16).padStart(2, '0') + hex).join('')
        : '00',
    );
    return `0801${'0000016b40d8ea30'}00${'00'.repeat(15)}00${count}${groups.join('')}01`;
  }

  const ioOf = (line: unknown) =>
    z
      .object({ records: z.tuple([z.object({ io: z.array(z.record(z.string(), z.unknown())) })]) })
      .parse(line).records[0].io;

  test('a documented packet shows name, typed value and unit of each element', async () => {
    const { code, lines } = await run([], {
      hex: hexOf('codec8-tcp-1'),
      names: true,
      model: 'FMB920',
    });
    expect(code).toBe(0);
    expect(lines).toMatchObject([{ codec: '8', transport: 'tcp', family: 'FMB' }]);
    expect(lines.flatMap(ioOf)).toEqual([
      { id: 21, width: 1, hex: '03', name: 'gsm_signal', value: 3, unit: null },
      { id: 1, width: 1, hex: '01', name: 'digital_input_1', value: 1, unit: null },
      { id: 66, width: 2, hex: '5e0f', name: 'external_voltage', value: 24.079, unit: 'V' },
      { id: 241, width: 4, hex: '0000601a', name: 'gsm_operator', value: 24602, unit: null },
      {
        id: 78,
        width: 8,
        hex: '0000000000000000',
        name: 'ibutton',
        value: '0000000000000000',
        unit: null,
      },
    ]);
  });

  test('a temperature below zero differs from an error code', async () => {
    const hex = arrayOf(4, [
      [72, 'ffffff81'],
      [73, '00000bb8'],
    ]);
    const { lines } = await run([hex], { names: true });
    expect(lines.flatMap(ioOf)).toMatchObject([
      { id: 72, name: 'dallas_temperature_1', value: -12.7, unit: '°C' },
      { id: 73, name: 'dallas_temperature_2', value: null, note: 'not_connected' },
    ]);
  });

  test('an element that the dictionary does not know is raw, with the reason', async () => {
    const two = arrayOf(2, [
      [7, 'ff81'],
      [72, 'ff81'],
    ]);
    const unknown = await run([two], { names: true, model: 'FMB' });
    expect(unknown.lines.flatMap(ioOf)).toMatchObject([
      { id: 7, hex: 'ff81', name: null, value: 65409, unit: null, note: 'unknown_id' },
      { id: 72, hex: 'ff81', name: null, value: 65409, unit: null, note: 'unknown_width' },
    ]);
    const noModel = await run([two], { names: true, model: 'XYZ100' });
    expect(noModel.lines).toMatchObject([{ family: null }]);
    expect(noModel.lines.flatMap(ioOf).map(({ note }) => note)).toEqual([
      'unknown_model',
      'unknown_model',
    ]);
    const typed = await run([two], { names: true, model: 'fmc650' });
    expect(typed.lines.flatMap(ioOf)[1]).toMatchObject({ value: -12.7, unit: '°C' });
  });

  test('codec 7 numbers its elements in its own way: they stay raw', async () => {
    const hex = '0701 00000001 03 20 1234 5678 01 01 63 01';
    const { lines } = await run([hex], { names: true });
    expect(lines).toMatchObject([
      { codec: '7', family: null, records: [{ io: [{ id: 1, note: 'unknown_model' }] }] },
    ]);
  });

  test("a payload's attributes are shown beside it, without widths", async () => {
    const payload = {
      device_id: '356307042441013',
      timestamp: '2026-01-01T00:00:00.000Z',
      latitude: 54.6,
      longitude: 25.2,
      altitude: 1,
      angle: 2,
      speed: 3,
      satellites: 4,
      priority: 0,
      attributes: { '66': 12_345, '72': 4_294_967_169, '78': { __bigint: '18446744073709551615' } },
    };
    const { lines } = await run([JSON.stringify({ payload })], { names: true });
    expect(lines).toMatchObject([{ transport: 'payload', family: 'FMB' }]);
    expect(lines.flatMap(ioOf)).toEqual([
      { id: 66, name: 'external_voltage', value: 12.345, unit: 'V' },
      { id: 72, name: 'dallas_temperature_1', value: -12.7, unit: '°C' },
      { id: 78, name: 'ibutton', value: 'ffffffffffffffff', unit: null },
    ]);
  });
});

test('each bad input is one typed error, and the good ones around it are decoded', async () => {
  const good = hexOf('codec8-tcp-1');
  const bad: [string, string][] = [
    ['zz', 'frame_hex_invalid'],
    ['abc', 'frame_hex_invalid'],
    ['"zz"', 'frame_hex_invalid'],
    ['""', 'truncated'],
    ['{', 'json_invalid'],
    ['{}', 'form_unknown'],
    ['{"__proto__":{"hex":"00"}}', 'form_unknown'],
    [JSON.stringify({ hex: good, frame_hex: good }), 'form_ambiguous'],
    ['{"hex":1}', 'field_invalid'],
    ['{"frame":"*"}', 'field_invalid'],
    ['{"payload":null}', 'payload_shape'],
    [`{"payload":${'['.repeat(50_000)}${']'.repeat(50_000)}}`, 'payload_shape'],
    [good.slice(0, -2), 'truncated'],
    [`${good}00`, 'trailing_bytes'],
    ['\u2603', 'frame_hex_invalid'],
    ['0'.repeat(262_145), 'entry_too_large'],
  ];
  const { code, lines } = await run([bad.map(([line]) => `${line}\n${good}\n`).join('')]);
  expect(code).toBe(1);
  expect(lines).toHaveLength(bad.length * 2);
  expect(lines.filter((_, at) => at % 2 === 0).map(codeOf)).toEqual(bad.map(([, code]) => code));
  expect(
    new Set(lines.filter((_, at) => at % 2 === 1).map((line) => JSON.stringify(line))).size,
  ).toBe(1);
});

test('an error says its code, what was expected and where', async () => {
  const { lines } = await run([], { hex: hexOf('codec14-nack') });
  expect(lines).toEqual([
    {
      error: {
        code: 'crc_mismatch',
        message: 'the CRC says 12972, the bytes give 25438',
        offset: 24,
      },
    },
  ]);
});

test('a line that is not UTF-8 is an error', async () => {
  const { code, lines } = await run([Buffer.from('7b22686578223a22ff227d0a', 'hex')]);
  expect(code).toBe(1);
  expect(lines.map(codeOf)).toEqual(['json_invalid']);
});

test('a slow reader slows the reading of stdin', async () => {
  const line = `${hexOf('codec8-tcp-1')}\n`;
  let offered = 0;
  const stdin = Readable.from(
    (function* () {
      for (; offered < 5000; offered++) yield line;
    })(),
  );
  const waiting: (() => void)[] = [];
  const stdout = new Writable({
    highWaterMark: 1024,
    write: (_chunk, _encoding, written) => void waiting.push(() => written()),
  });
  const done = runDecode(plain, { stdin, stdout });
  while (waiting.length === 0) await new Promise((next) => setImmediate(next));
  for (let turn = 0; turn < 200; turn++) await new Promise((next) => setImmediate(next));
  expect(offered).toBeLessThan(200);
  let answered = 0;
  const drain = setImmediateLoop(() => {
    const next = waiting.shift();
    if (next === undefined) return;
    answered++;
    next();
  });
  expect(await done).toBe(0);
  drain.stop();
  expect(offered).toBe(5000);
  expect(answered).toBeGreaterThan(0);
});

test('a closed stdout ends the command with 1', async () => {
  const line = `${hexOf('codec8-tcp-1')}\n`;
  const stdout = new Writable({
    write: (_chunk, _encoding, written) => {
      written(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    },
  });
  const stdin = Readable.from(Array.from({ length: 100 }, () => line));
  expect(await runDecode(plain, { stdin, stdout })).toBe(1);
});

test('an error of stdin does not count as its end', async () => {
  const stdin = new Readable({ read() {} });
  const done = runDecode(plain, { stdin, stdout: new PassThrough().resume() });
  stdin.destroy(new Error('disk gone'));
  await expect(done).rejects.toThrow('disk gone');
});

/** Calls `step` once a turn of the event loop until it is stopped. */
function setImmediateLoop(step: () => void): { stop(): void } {
  let running = true;
  const turn = (): void => {
    if (!running) return;
    step();
    setImmediate(turn);
  };
  turn();
  return {
    stop() {
      running = false;
    },
  };
}
