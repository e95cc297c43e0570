/**
 * Prints the SQL that fills `positions.io_dictionary` and `positions.io_model` from the tables in
 * src/teltonika/io-dictionary/: the text a migration needs when they change.
 *
 *     PATH=$(node scripts/prepare.cjs) node scripts/io-dictionary-sql.ts
 */
import {
  ioFamilies,
  modelsOf,
  pageModels,
  pageTitles,
} from '../src/teltonika/io-dictionary/families.ts';
import { ioRows } from '../src/teltonika/io-dictionary/meanings.ts';
import { type IoRow, specialValues } from '../src/teltonika/io-dictionary/rows.ts';

const text = (value: string | null | undefined): string =>
  value == null ? 'NULL' : `'${value.replaceAll("'", "''")}'`;

const list = (rows: readonly string[]): string => rows.map((row) => `  (${row})`).join(',\n');

function elementRow([id, width, kind, scale, unit, name, families, special]: IoRow): string {
  const values = [id, width, text(kind), scale ?? 'NULL', text(unit), text(name), text(families)];
  return [...values, text(special)].join(', ');
}

const specials = Object.entries(specialValues).map(
  ([set, words]) => `${text(set)}, ${text(JSON.stringify(words))}`,
);

const pages = ioFamilies.map((family) =>
  [family, pageModels[family], pageTitles[family]].map(text).join(', '),
);

const models = ioFamilies.map((family) => `${text(family)}, ${text(modelsOf(family).join(' '))}`);

process.stdout.write(`INSERT INTO positions.io_model (model, family)
SELECT DISTINCT model, family
  FROM (VALUES
${list(models)}
  ) AS list (family, models)
 CROSS JOIN LATERAL unnest(string_to_array(models, ' ') || family) AS model;

WITH page (family, model, title) AS (VALUES
${list(pages)}
), special (set_name, words) AS (VALUES
${list(specials)}
), element (io_id, width_bytes, kind, scale, unit, name, families, special) AS (VALUES
${list([...ioRows].sort(([a, u], [b, v]) => a - b || u - v).map(elementRow))}
)
INSERT INTO positions.io_dictionary
  (io_id, family, width_bytes, kind, name, unit, scale, special, source)
SELECT io_id, page.family, width_bytes,
       CASE kind WHEN 'u' THEN 'unsigned' WHEN 's' THEN 'signed' WHEN 'x' THEN 'bytes' ELSE 'text' END,
       name, unit, scale, coalesce(words::jsonb, '{}'),
       coalesce(nullif(split_part(token, '@', 2), ''), page.model) || ' ' || page.title
  FROM element
 CROSS JOIN LATERAL unnest(string_to_array(families, ' ')) AS token
  JOIN page ON page.family = split_part(token, '@', 1)
  LEFT JOIN special ON special.set_name = element.special;
`);
