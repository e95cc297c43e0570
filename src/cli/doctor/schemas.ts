import type pg from 'pg';
import { type Check, ok, warning } from './check.ts';

/** Who may create in a schema beside its owner, superusers and the owner of `positions`. */
const creatorsStatement = `
  SELECT n.nspname AS schema, coalesce(r.rolname, 'PUBLIC') AS grantee
    FROM pg_catalog.pg_namespace AS n
   CROSS JOIN LATERAL pg_catalog.aclexplode(
     coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) AS granted
    LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = granted.grantee
   WHERE granted.privilege_type = 'CREATE' AND granted.grantee <> n.nspowner
     AND (n.nspname IN ('public', 'positions') OR n.oid IN (
       SELECT extnamespace FROM pg_catalog.pg_extension WHERE extname = 'timescaledb'))
     AND r.rolsuper IS NOT TRUE
     AND granted.grantee IS DISTINCT FROM (
       SELECT relowner FROM pg_catalog.pg_class
        WHERE oid = pg_catalog.to_regclass('public.positions'))
   ORDER BY 1, 2 LIMIT 10`;

/**
 * Whether other roles may create in the schemas of the tables and of TimescaleDB: a function there
 * could be called in place of another of the same name.
 */
export async function schemaCheck(client: pg.ClientBase): Promise<Check> {
  const { rows } = await client.query<{ schema: string; grantee: string }>(creatorsStatement);
  if (rows.length === 0) return ok('schemas', 'no other role may create in them');
  const found = rows.map(({ schema, grantee }) => `${grantee} may create in ${schema}`);
  const [first] = rows;
  const revoke = `REVOKE CREATE ON SCHEMA ${first?.schema} FROM ${first?.grantee}`;
  return warning('schemas', `${found.join(', ')}: ${revoke} (deploy/sql/roles.sql)`);
}
