/** Exists only inside the transaction of the first migration. */
const ownSchema = 'processor_first_migration';

/**
 * The first migration names its table without a schema, and an applied file never changes. With
 * `public` in the search path an operator or a function that another role planted there could
 * become part of the table's checks. So the table is made in a schema of its own, and its copy in
 * public: moved, it would lack the rights that default privileges give in public.
 */
export function inOwnSchema(sql: string): string {
  return `CREATE SCHEMA ${ownSchema};
    SET LOCAL search_path = ${ownSchema}, pg_temp;
    ${sql};
    SET LOCAL search_path = pg_catalog, pg_temp;
    CREATE TABLE public.positions (LIKE ${ownSchema}.positions INCLUDING ALL);
    DO $$ BEGIN
      EXECUTE format('COMMENT ON TABLE public.positions IS %L',
        obj_description('${ownSchema}.positions'::regclass, 'pg_class'));
    END $$;
    DROP TABLE ${ownSchema}.positions;
    DROP SCHEMA ${ownSchema}`;
}
