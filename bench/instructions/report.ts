import type { BenchResult } from '../main.ts';

const cases = [
  ['payload entries, 500 devices × 10 rows', 'payload'],
  ['… with empty attributes', 'payload_no_attributes'],
  ['payload entries, 5,000 devices × 1 row', 'payload_5000_devices'],
  ['frame entries ×10, 500 devices × 10 rows', 'frames_x10'],
  ['payload entries, every row of a new device', 'new_devices'],
  ['payload entries over 30 chunks', 'chunks_30'],
  ['payload entries, one in ten stored before', 'repeated_tenth'],
  ['duplicates, row store', 'duplicates'],
  ['duplicates, columnstore, 200 stored rows a device', 'compressed_duplicates'],
] as const;

/** What a row costs the server, counted by callgrind; empty if it was not counted. */
export function instructionLines({ figures }: BenchResult): string[] {
  if (
    figures.instructions_payload === undefined &&
    figures.instructions_plain_payload === undefined
  )
    return [];
  const cell = (name: string) => {
    const value = figures[name]?.median;
    return value === undefined ? '–' : (Math.round(value) + 0).toLocaleString('en-US');
  };
  return [
    '## Server instructions',
    '',
    'Counted by callgrind in a server of its own, in batches of 5,000 rows: the whole statement of the service, from the parameters to the reply. The load of the machine does not change them (`npm run bench -- instructions`); background work and full-page images are off.',
    '',
    '| rows | TimescaleDB: instructions a row | WAL a row | plain table: instructions a row | WAL a row |',
    '|---|---|---|---|---|',
    ...cases.map(([text, name]) => {
      const cells = [`instructions_${name}`, `instructions_plain_${name}`].flatMap((figure) => [
        cell(figure),
        cell(`${figure}_wal_bytes`),
      ]);
      return `| ${text} | ${cells.join(' | ')} |`;
    }),
    '',
  ];
}

/** Of decisions 0068 to 0070. */
export const instructionMisses: readonly string[] = [
  '- **Server instructions.** 117,400 before, of which 38,100 turn the text of `attributes` into jsonb. The 62,858 of the issue were an insert from a table, where that text is jsonb already. What is left of payload entries: attributes 38,100, the primary key 25,700 (probe and insert; a third compares text by the locale), the heap with the lock and the WAL record of ON CONFLICT 8,500, the other arrays and unnest 11,000, constraints 5,500, the list of devices 2,800. Each alternative is in decision 0068.',
  '- **Growth.** With the same instructions, 30 chunks are 0.86 of one chunk by records a second and take the same CPU of the service. A row of a new device costs a quarter more than another, for the list of devices. Records of 64 IO values reach 0.6 of the rate of 16.',
];
