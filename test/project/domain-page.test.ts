import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { optionalColumns, requiredColumns, wantedIndexes } from '../../src/db/domain-timing.ts';
import { contractViews } from '../../src/db/domain-views.ts';
import { contractRefusals } from '../../src/domain/contract.ts';
import { methods } from '../../src/domain/types.ts';
import { createDirectus } from '../../tools/domain-fixture.ts';
import { freshDatabase } from '../setup/database.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const page = readFileSync(join(root, 'docs/domain.md'), 'utf8');

/** The text below a heading, up to the next one. */
function sectionOf(heading: string): string {
  const [, text = ''] = page.split(`# ${heading}\n`);
  return text.split(/^#/m)[0] ?? '';
}

/** The cells of each row of the tables in a text, without headings. */
function rowsOf(text: string): string[][] {
  const lines = text.split('\n').filter((line) => line.startsWith('| `'));
  return lines.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

/** Words in backquotes. */
function quotedIn(text: string): string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word);
}

const columnsIn = (heading: string) =>
  rowsOf(sectionOf(heading)).map(([name = '', type = '']) => [quotedIn(name), quotedIn(type)]);

describe('docs/domain.md', () => {
  test.each(contractViews)('has the columns of $name in their order, with their types', (view) => {
    const heading = `\`processor_contract.${view.name}\``;
    expect(columnsIn(heading)).toEqual(view.columns.map(({ name, types }) => [[name], [types[0]]]));
    expect(sectionOf(heading).trimStart().startsWith('Optional.')).toBe(view.isOptional);
  });

  test('has the columns of timing_records in their order, with their types', () => {
    const rows = rowsOf(sectionOf('`timing_records`')).map(([name = '', type = '', needed]) => [
      quotedIn(name),
      quotedIn(type),
      needed,
    ]);
    const columns = [
      ...requiredColumns.map((column) => ({ ...column, needed: 'required' })),
      ...optionalColumns.map((column) => ({ ...column, needed: 'optional' })),
    ];
    expect(rows).toEqual(columns.map(({ name, types, needed }) => [[name], [types[0]], needed]));
  });

  test('explains every reason to refuse a geofence, and every method', () => {
    const shapes = rowsOf(sectionOf('Shapes')).map(([name = '']) => name);
    const reasons = shapes.flatMap(quotedIn).filter((word) => /^[a-z_]+$/.test(word));
    expect(reasons.toSorted()).toEqual([...contractRefusals].toSorted());
    const explained = rowsOf(sectionOf('How exact a time is')).flatMap(([name = '']) =>
      quotedIn(name),
    );
    // The first is the heading.
    expect(explained).toEqual(['method', ...methods]);
  });

  test('has SQL that runs on the tables of a fleet, and the wanted indexes', async () => {
    const database = await freshDatabase();
    const client = new pg.Client(database.url);
    await client.connect();
    try {
      await createDirectus(client, 'fleet');
      const blocks = [...page.matchAll(/^```sql\n(.*?)^```/gms)].map(([, sql = '']) => sql);
      expect(blocks).toHaveLength(3);
      for (const sql of blocks) await client.query(sql);
      for (const { definition } of wantedIndexes) {
        expect(blocks.join()).toContain(`ON public.timing_records ${definition}`);
      }
    } finally {
      await client.end();
      await database.drop();
    }
  });
});
