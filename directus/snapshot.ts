import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { z } from 'zod';
import type { Api } from './api.ts';
import { collectionNames } from './collections.ts';

const field = z.object({
  collection: z.string(),
  field: z.string(),
  type: z.string(),
  schema: z.object({
    data_type: z.string(),
    default_value: z.unknown(),
    max_length: z.number().nullable(),
    numeric_precision: z.number().nullable(),
    numeric_scale: z.number().nullable(),
    is_nullable: z.boolean(),
    is_unique: z.boolean(),
    is_primary_key: z.boolean(),
    foreign_key_table: z.string().nullable(),
  }),
});

const answer = z.object({
  directus: z.string(),
  vendor: z.string(),
  collections: z.array(z.object({ collection: z.string() })),
  fields: z.array(field),
});

const file = fileURLToPath(new URL('../test/fixtures/directus/snapshot.yaml', import.meta.url));

/**
 * Compares Directus' snapshot of its schema with the recorded one, which test/domain/ compares with
 * the contract; or records it.
 * @throws when they differ, or when a foreign table is in it
 */
export async function compareSnapshot(api: Api, record: boolean): Promise<void> {
  const { collections, yaml } = await takeSnapshot(api);
  const foreign = collections.filter((name) => !collectionNames.includes(name));
  if (foreign.length > 0) throw new Error(`the snapshot holds ${foreign.join(', ')}`);
  if (record) {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, yaml);
  } else if ((await readFile(file, 'utf8')) !== yaml) {
    throw new Error('the snapshot is not the recorded one; --record writes it, git diff shows why');
  }
}

interface Snapshot {
  readonly collections: readonly string[];
  readonly yaml: string;
}

/** Without what only the forms of Directus need (`meta`): the columns as PostgreSQL has them. */
async function takeSnapshot(api: Api): Promise<Snapshot> {
  const { directus, vendor, collections, fields } = answer.parse(
    await api.data('GET', '/schema/snapshot'),
  );
  const names = collections.map(({ collection }) => collection).sort();
  const sorted = fields.toSorted((a, b) => nameOf(a).localeCompare(nameOf(b)));
  const yaml = stringify({ directus, vendor, collections: names, fields: sorted.map(compact) });
  return { collections: names, yaml };
}

function nameOf({ collection, field: name }: z.infer<typeof field>): string {
  return `${collection}.${name}`;
}

/** Without what is null or false, so that the file shows what a column is. */
function compact({ schema, ...named }: z.infer<typeof field>) {
  const set = Object.entries(schema).filter(([, value]) => value !== null && value !== false);
  return { ...named, schema: Object.fromEntries(set) };
}
