-- The down migration of 0006_forget_devices.sql: docs/migrations.md. Set RETENTION=off before and run
-- `processor migrate up`: a job that is left would fail every day.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
DO $$
BEGIN
  IF (SELECT max(version) FROM public.processor_migrations) IS DISTINCT FROM 6 THEN
    RAISE EXCEPTION 'the newest migration applied is not 6: go back one by one, newest first';
  END IF;
END $$;
DROP PROCEDURE positions.forget_devices(integer, jsonb);
DELETE FROM public.processor_migrations WHERE version = 6;
COMMIT;
