import type pg from 'pg';

/** One table or view, as the catalogue and this session's rights have it. */
export interface Relation {
  readonly oid: string;
  /** `r` and `p`: a table; `v`: a view. */
  readonly kind: string;
  readonly owner: string;
  readonly columns: ReadonlyMap<string, Column>;
}

export interface Column {
  readonly name: string;
  /** Without length or precision. */
  readonly type: string;
  /** Digits of a second that a timestamp keeps; null: all. */
  readonly precision: number | null;
  readonly isNotNull: boolean;
  /** Whether an INSERT may leave it out: it has a default, is an identity or is generated. */
  readonly hasDefault: boolean;
  readonly isGenerated: boolean;
  readonly mayBeSelected: boolean;
  readonly mayBeInserted: boolean;
  readonly mayBeUpdated: boolean;
}

export interface Index {
  readonly isPrimary: boolean;
  /** Whether ON CONFLICT and queries can use it: valid, and not deferrable. */
  readonly isUsable: boolean;
  readonly columns: readonly string[];
  /** Of a partial index. */
  readonly predicate: string | null;
}

export interface SchemaRights {
  readonly exists: boolean;
  readonly isUsable: boolean;
}

export async function readRole(client: pg.ClientBase): Promise<string> {
  const { rows } = await client.query<{ role: string }>('SELECT current_user::text AS role');
  return rows[0]?.role ?? '';
}

export async function readSchema(client: pg.ClientBase, name: string): Promise<SchemaRights> {
  const { rows } = await client.query<{ usable: boolean }>(
    `SELECT has_schema_privilege(oid, 'USAGE') AS usable FROM pg_catalog.pg_namespace WHERE nspname = $1`,
    [name],
  );
  return { exists: rows.length > 0, isUsable: rows[0]?.usable === true };
}

/** Null: there is no such table or view. */
export async function readRelation(
  client: pg.ClientBase,
  schema: string,
  name: string,
): Promise<Relation | null> {
  const { rows } = await client.query<{ oid: string; kind: string; owner: string }>(
    `SELECT c.oid::text, c.relkind::text AS kind, pg_catalog.pg_get_userbyid(c.relowner)::text AS owner
       FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
      WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`,
    [schema, name],
  );
  const [found] = rows;
  if (found === undefined) return null;
  const { rows: columns } = await client.query<Column>(columnQuery, [found.oid]);
  return { ...found, columns: new Map(columns.map((column) => [column.name, column])) };
}

/** Low bits of a timestamp's type modifier: its precision; -1: none is set. */
const columnQuery = `
  SELECT a.attname::text AS name, pg_catalog.format_type(a.atttypid, NULL) AS type,
         CASE WHEN a.atttypid IN ('timestamptz'::regtype, 'timestamp'::regtype) AND a.atttypmod >= 0
              THEN a.atttypmod END AS precision,
         a.attnotnull AS "isNotNull",
         a.atthasdef OR a.attidentity <> '' AS "hasDefault",
         a.attgenerated <> '' OR a.attidentity = 'a' AS "isGenerated",
         has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS "mayBeSelected",
         has_column_privilege(a.attrelid, a.attnum, 'INSERT') AS "mayBeInserted",
         has_column_privilege(a.attrelid, a.attnum, 'UPDATE') AS "mayBeUpdated"
    FROM pg_catalog.pg_attribute AS a
   WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
   ORDER BY a.attnum`;

export async function readIndexes(
  client: pg.ClientBase,
  { oid }: Relation,
): Promise<readonly Index[]> {
  const { rows } = await client.query<Index>(
    `SELECT i.indisprimary AS "isPrimary", i.indisvalid AND i.indimmediate AS "isUsable",
            pg_catalog.pg_get_expr(i.indpred, i.indrelid) AS predicate,
            ARRAY(SELECT coalesce(a.attname::text, '')
                    FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k (attnum, position)
                    LEFT JOIN pg_catalog.pg_attribute AS a
                      ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
                   WHERE k.position <= i.indnkeyatts ORDER BY k.position) AS columns
       FROM pg_catalog.pg_index AS i WHERE i.indrelid = $1::oid`,
    [oid],
  );
  return rows;
}
