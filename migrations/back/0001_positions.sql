-- The way back from 0001_positions.sql: docs/migrations.md. The table goes, so it must be empty.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
DO $$
BEGIN
  IF (SELECT max(version) FROM public.processor_migrations) IS DISTINCT FROM 1 THEN
    RAISE EXCEPTION 'the newest migration applied is not 1: go back one by one, newest first';
  END IF;
END $$;
LOCK TABLE public.positions IN ACCESS EXCLUSIVE MODE;
DO $$
BEGIN
  IF EXISTS (SELECT FROM public.positions) THEN
    RAISE EXCEPTION 'positions has rows: back them up, and empty the table, before you go back to nothing';
  END IF;
END $$;
DROP TABLE public.positions;
DELETE FROM public.processor_migrations WHERE version = 1;
COMMIT;
