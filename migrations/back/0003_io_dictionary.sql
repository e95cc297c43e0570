-- The way back from 0003_io_dictionary.sql: docs/migrations.md. Reference data only.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
DO $$
BEGIN
  IF (SELECT max(version) FROM public.processor_migrations) IS DISTINCT FROM 3 THEN
    RAISE EXCEPTION 'the newest migration applied is not 3: go back one by one, newest first';
  END IF;
END $$;
DROP FUNCTION positions.io_values(jsonb, text);
DROP FUNCTION positions.io_value(jsonb, integer, text);
DROP FUNCTION positions.io_reading(jsonb, integer, text);
DROP FUNCTION positions.io_family(text);
DROP TABLE positions.io_dictionary;
DROP TABLE positions.io_model;
REVOKE USAGE ON SCHEMA positions FROM PUBLIC;
DELETE FROM public.processor_migrations WHERE version = 3;
COMMIT;
