-- The way back from 0004_known_devices.sql: docs/migrations.md. It filled a table that 0002 made and
-- its trigger keeps; there is nothing to take back but the note that it ran.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
DO $$
BEGIN
  IF (SELECT max(version) FROM public.processor_migrations) IS DISTINCT FROM 4 THEN
    RAISE EXCEPTION 'the newest migration applied is not 4: go back one by one, newest first';
  END IF;
END $$;
DELETE FROM public.processor_migrations WHERE version = 4;
COMMIT;
