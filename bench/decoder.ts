import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attributesJson } from '../src/teltonika/attributes.ts';
import { decodeFrame } from '../src/teltonika/decode.ts';
import {
  encodeArray,
  encodeRecord,
  type SentRecord,
  uint,
  wrapTcp,
} from '../tools/teltonika/encode.ts';
import type { Figures } from './figures.ts';

const recordsInFrame = 10;
const frames = 200;
const secondsEach = 1;

/**
 * The decoder on npm that takes codec 8E; fetched for the run, not a dependency of this project. The other
 * one, teltonika-parser 0.0.15, reads nothing of these frames.
 */
const other = { name: 'complete-teltonika-parser', version: '0.3.4' } as const;

/** Decoders alone, on frames of codec 8E with 16 IO values a record; records a second. */
export function decoderRound(figures: Figures, installed: string | null): void {
  const buffers = Array.from({ length: frames }, (_, number) => frameOf(number));
  const options = { skipCrc: false, maxRecords: 255, io16: false };
  figures.note(
    'decoder',
    recordsPerSecond(buffers, (frame) => {
      const packet = decodeFrame(frame, options);
      if (packet.kind !== 'records') throw new Error('the frame was refused');
    }),
  );
  figures.note(
    'decoder_with_attributes',
    recordsPerSecond(buffers, (frame) => {
      const packet = decodeFrame(frame, options);
      if (packet.kind !== 'records') throw new Error('the frame was refused');
      for (const record of packet.records) attributesJson(record);
    }),
  );
  if (installed !== null) npmRound(figures, buffers, installed);
}

function npmRound(figures: Figures, buffers: readonly Buffer[], installed: string): void {
  const load = createRequire(join(installed, 'package.json'));
  const { ProtocolParser } = load(other.name);
  const hexes = buffers.map((frame) => frame.toString('hex'));
  figures.note(
    'npm_complete_teltonika_parser',
    recordsPerSecond(hexes, (hex) => {
      if (new ProtocolParser(hex).Content.AVL_Datas.length !== recordsInFrame) {
        throw new Error(`${other.name} read another number of records`);
      }
    }),
  );
}

function recordsPerSecond<Frame>(all: readonly Frame[], decode: (frame: Frame) => void): number {
  for (const frame of all) decode(frame);
  const began = performance.now();
  let records = 0;
  while (performance.now() - began < secondsEach * 1000) {
    for (const frame of all) decode(frame);
    records += all.length * recordsInFrame;
  }
  return records / ((performance.now() - began) / 1000);
}

function frameOf(number: number): Buffer {
  const records = Array.from({ length: recordsInFrame }, (_, index): SentRecord => {
    const widths = [1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 4, 4, 4, 8] as const;
    return {
      ts: BigInt(1_760_000_000_000 + number * 10_000 + index * 1000),
      priority: 0,
      longitude: 253_000_000 + number,
      latitude: 547_000_000 + index,
      altitude: 120,
      angle: 90,
      satellites: 11,
      speed: 54,
      eventIoId: 0,
      generationType: 0,
      io: widths.map((group, at) => ({ id: 20 + at, group, value: uint(number + at + 1, group) })),
    };
  });
  return wrapTcp(
    encodeArray(
      '8E',
      records.map((record) => encodeRecord('8E', record)),
    ),
  );
}

/** Installs the other decoder in a folder of their own. @returns it, or null when npm cannot */
export function installDecoders(): { folder: string | null; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'processor-bench-'));
  const npm = spawnSync(
    'npm',
    [
      'install',
      '--prefix',
      folder,
      '--no-audit',
      '--no-fund',
      '--ignore-scripts',
      `${other.name}@${other.version}`,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  return {
    folder: npm.status === 0 ? folder : null,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
