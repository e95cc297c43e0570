import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { modelsOf } from '../../src/teltonika/io-dictionary/families.ts';
import { ioRows, meaningsOf } from '../../src/teltonika/io-dictionary/meanings.ts';
import {
  familyOf,
  type IoElementMeaning,
  type IoFamily,
  interpretIo,
  ioFamilies,
  ioMeanings,
  readIo,
  readIoElement,
} from '../../src/teltonika/io-names.ts';

const all = ioRows.flatMap(meaningsOf);

function meaningOf(id: number, width: number, family: IoFamily): IoElementMeaning {
  const [found] = ioMeanings(id, width, family);
  if (found === undefined) throw new Error(`no IO ${id} of ${width} bytes on ${family}`);
  return found;
}

/** A signed number as the wire has it: two's complement, unsigned. */
const onWire = (value: number, width: number): number =>
  Number(BigInt.asUintN(width * 8, BigInt(value)));

describe('the dictionary', () => {
  test('has one meaning for an id and width on a family', () => {
    const keys = all.map(({ family, id, width }) => `${family} ${id} ${width}`);
    expect(keys.filter((key, at) => keys.indexOf(key) !== at)).toEqual([]);
  });

  test('has short technical names of ours, no sentences', () => {
    const wrong = all.filter(({ name }) => !/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/.test(name));
    expect(wrong).toEqual([]);
    expect(Math.max(...all.map(({ name }) => name.split('_').length))).toBeLessThanOrEqual(8);
  });

  test('names a page as the source of each entry', () => {
    const title = /^[A-Z0-9]+ (Teltonika Data Sending Parameters ID|AVL ID List|AVL ID)$/;
    expect(all.filter(({ source }) => !title.test(source))).toEqual([]);
    expect(meaningOf(66, 2, 'FMB').source).toBe('FMB120 Teltonika Data Sending Parameters ID');
    expect(meaningOf(9, 4, 'FT').source).toBe('FTC134 Teltonika Data Sending Parameters ID');
    expect(meaningOf(66, 2, 'FM36').source).toBe('FM36 AVL ID');
    expect(meaningOf(66, 2, 'TAT').source).toBe('TAT100 AVL ID List');
  });

  test('has no multiplier of zero and no number without a fixed width', () => {
    expect(all.filter(({ scale }) => scale !== null && !(Number(scale) > 0))).toEqual([]);
    const numbers = all.filter(({ kind }) => kind === 'unsigned' || kind === 'signed');
    expect(numbers.filter(({ width }) => width === 0)).toEqual([]);
  });

  test('has no unit where the multiplier is not known', () => {
    expect(all.filter(({ scale, unit }) => scale === null && unit !== null)).toEqual([]);
  });

  test('has a model in one family only', () => {
    const models = ioFamilies.flatMap((family) => modelsOf(family));
    expect(new Set(models).size).toBe(models.length);
  });

  test('knows every element of the documented packets, and their values fit', () => {
    const element = z.object({ id: z.number(), width: z.number(), hex: z.string() });
    const examples = z
      .array(
        z.object({
          name: z.string(),
          expected: z.looseObject({
            records: z.array(z.looseObject({ io: z.array(element) })).optional(),
          }),
        }),
      )
      .parse(
        JSON.parse(
          readFileSync(new URL('../fixtures/teltonika/examples.json', import.meta.url), 'utf8'),
        ),
      );
    const elements = examples
      .filter(({ name }) => name.startsWith('codec8'))
      .flatMap(({ expected }) => (expected.records ?? []).flatMap(({ io }) => io));
    expect(elements.length).toBeGreaterThan(20);
    const raw = elements.filter((each) => readIoElement(each, 'FMB').note !== null);
    // An older model's example has its board temperature in four bytes.
    expect(new Set(raw.map(({ id, width }) => `${id}/${width}`))).toEqual(new Set(['70/4']));
  });
});

describe('a model', () => {
  test.each([
    ['FMC130', 'FMB'],
    ['fmb920', 'FMB'],
    [' FMM650 ', 'FM6'],
    ['FMB630', 'FM63'],
    ['FM3612', 'FM36'],
    ['ATC700', 'FT'],
    ['TMT250', 'TAT'],
    ['FM6', 'FM6'],
  ])('%s belongs to the family %s', (model, family) => {
    expect(familyOf(model)).toBe(family);
  });

  test.each(['', 'FMB', 'FMB999', 'FMB930', 'GH4000'])('%j is not guessed', (model) => {
    expect(familyOf(model)).toBe(model === 'FMB' ? 'FMB' : null);
  });
});

describe('temperatures below zero', () => {
  test.each<[IoFamily, number, number, number, number]>([
    ['FMB', 72, 4, 0xffff_ff81, -12.7],
    ['FMB', 72, 4, 0xffff_fffe, -0.2],
    ['FMB', 25, 2, 0xffff, -0.01],
    ['FMB', 32, 1, 0xd8, -40],
    ['FMB', 202, 1, 0xff, -1],
    ['FMB', 115, 2, 0xfda8, -60],
    ['FMB', 10800, 2, 0xfb5d, -11.87],
    ['FM6', 72, 2, 0xff81, -12.7],
    ['FM6', 70, 2, 0xff81, -12.7],
    ['FM6', 10047, 2, 0xff38, -20],
    ['FM63', 72, 2, 0xff81, -12.7],
    ['FM36', 72, 2, 0xff81, -12.7],
    ['FT', 72, 2, 0xff81, -12.7],
    ['FT', 25, 2, 0xff81, -12.7],
    ['TAT', 72, 4, 0xffff_ff81, -12.7],
    ['TAT', 10803, 2, 0xffff, -0.01],
  ])('%s, IO %i of %i bytes: %i is %f', (family, id, width, raw, celsius) => {
    const reading = readIo(id, raw, width, family);
    expect(reading).toMatchObject({ value: celsius, unit: '°C', note: null });
    expect(readIo(id, raw, null, family)).toEqual(reading);
  });

  test('are signed on every family, also where the multiplier is not known', () => {
    const temperatures = all.filter(
      ({ name, kind, id, family }) =>
        name.includes('temperature') &&
        !name.includes('_id_') &&
        kind !== 'signed' &&
        // One byte from 0 to 215 on its page: no sign.
        !(family === 'FMB' && id === 58),
    );
    expect(temperatures).toEqual([]);
    expect(readIo(70, 0xff81, 2, 'FT')).toEqual({
      name: 'pcb_temperature',
      value: -127,
      unit: null,
      note: 'unknown_scale',
    });
  });
});

describe('one id on different families', () => {
  test('has the meaning of the model', () => {
    expect(readIo(113, 80, 1, 'FMB')).toMatchObject({ name: 'battery_level', value: 80 });
    expect(readIo(113, 0xffff_fff6, 4, 'FM6')).toMatchObject({
      name: 'service_distance',
      value: -10,
      unit: 'km',
    });
    expect(readIo(70, 1, 1, 'FMB').name).toBe('geofence_zone_11');
    expect(readIo(70, 0x129, 2, 'FM6')).toMatchObject({ name: 'pcb_temperature', value: 29.7 });
  });

  test('has the width of the model', () => {
    expect(readIo(205, 0x0074_04ab, null, 'FM6').name).toBe('gsm_cell_id');
    expect(readIo(205, 0x0074_04ab, null, 'FMB').note).toBe('unknown_width');
  });
});

describe('without a width', () => {
  test('two widths that read alike are typed, two that do not are raw', () => {
    expect(readIo(269, 20, null, 'FMB')).toMatchObject({ value: 20, unit: '°C', note: null });
    expect(readIo(269, 251, null, 'FMB')).toEqual({
      name: null,
      value: 251,
      unit: null,
      note: 'ambiguous_width',
    });
    expect(readIo(269, 251, 1, 'FMB')).toMatchObject({ value: -5 });
    // Only two bytes have room for it.
    expect(readIo(269, 65_531, null, 'FMB')).toMatchObject({ value: -5 });
  });
});

describe('what a sensor sends in place of a measurement', () => {
  test.each<[IoFamily, number, number, number, string]>([
    ['FMB', 72, 4, 850, 'sensor_not_ready'],
    ['FMB', 75, 4, 2000, 'read_error'],
    ['FM6', 6, 2, 4000, 'id_failed'],
    ['FM36', 72, 2, 3000, 'sensor_error'],
    ['FMB', 25, 2, 32_767, 'sensor_not_found'],
    ['FMB', 86, 2, 65_534, 'parse_failed'],
    ['FMB', 108, 2, 32_733, 'sensor_abnormal'],
  ])('%s, IO %i of %i bytes: %i is %s', (family, id, width, raw, word) => {
    expect(readIo(id, raw, width, family)).toMatchObject({ value: null, unit: null, note: word });
  });

  test('is no error where the code is also a temperature', () => {
    expect(readIo(25, 2000, 2, 'FMB')).toMatchObject({ value: 20, note: null });
    expect(readIo(72, 849, 4, 'FMB')).toMatchObject({ value: 84.9, note: null });
  });
});

describe('a value that is not a number', () => {
  test('is hex, decimal text or ASCII text', () => {
    expect(readIo(78, '18446744073709551615', 8, 'FMB').value).toBe('ffffffffffffffff');
    expect(readIo(78, 1, 8, 'FMB').value).toBe('0000000000000001');
    expect(readIo(11, '18446744073709551615', 8, 'FMB').value).toBe('18446744073709551615');
    expect(readIo(256, '575657', 3, 'FMB').value).toBe('WVW');
    expect(readIo(219, '4051048800601256496', null, 'FM6').value).toBe('3838376bb79c3230');
    expect(readIo(219, BigInt('0x3839333730203000').toString(), null, 'FM6').value).toBe('89370 0');
    expect(readIo(385, '', 0, 'FMB').value).toBe('');
  });

  test('is hex where it is not printable', () => {
    expect(readIo(256, '00ff', 2, 'FMB').value).toBe('00ff');
  });
});

describe('a value that cannot be of the element', () => {
  test.each<[string, number, number | string, number | null]>([
    ['too large', 21, 256, null],
    ['negative', 72, -3, null],
    ['no integer', 66, 1.5, null],
    ['hex for a number', 66, '0a0b', null],
    ['a number for bytes', 256, 5, null],
    ['another width', 66, 5, 4],
  ])('%s: is raw', (_why, id, value, width) => {
    expect(readIo(id, value, width, 'FMB')).toEqual({
      name: null,
      value,
      unit: null,
      note: 'unknown_width',
    });
  });
});

test('a number comes back as it was sent: sign by width, multiplier without noise', () => {
  const numbers = all.filter(
    (each) => (each.kind === 'signed' || each.kind === 'unsigned') && each.width < 8,
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...numbers),
      fc.double({ min: 0, max: 1, noNaN: true }),
      (m, at) => {
        const span = 2 ** (m.width * 8);
        const low = m.kind === 'signed' ? -span / 2 : 0;
        const sent = Math.min(low + Math.floor(at * span), low + span - 1);
        const reading = interpretIo(onWire(sent, m.width), m);
        const word = m.special[String(sent)];
        if (word !== undefined) {
          expect(reading).toMatchObject({ value: null, note: word });
          return;
        }
        const scale = Number(m.scale ?? 1);
        const value = Number(reading?.value);
        expect(Math.round(value / scale)).toBe(sent);
        // No digit beyond those of the multiplier: 12.7, not 12.700000000000001.
        const decimals = (m.scale ?? '1').split('.')[1]?.length ?? 0;
        expect(value).toBe(Number(value.toFixed(decimals)));
      },
    ),
    { numRuns: 2000 },
  );
});

test('whatever is stored is read without a throw, and never without a value or a reason', () => {
  const value = fc.oneof(
    fc.double(),
    fc.nat(),
    fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(String),
    fc.string(),
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString('hex')),
  );
  fc.assert(
    fc.property(
      fc.oneof(fc.constantFrom(...all.map(({ id }) => id)), fc.nat(65_535)),
      value,
      fc.option(fc.constantFrom(0, 1, 2, 4, 8, 16)),
      fc.option(fc.constantFrom(...ioFamilies)),
      (id, stored, width, family) => {
        const { value: read, note } = readIo(id, stored, width, family);
        expect(read !== null || note !== null).toBe(true);
      },
    ),
    { numRuns: 2000 },
  );
});
