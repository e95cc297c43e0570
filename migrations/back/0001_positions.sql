-- The way back from 0001_positions.sql: docs/migrations.md. The table goes, so it must be empty.
BEGIN;
DO $$
BEGIN
  IF (SELECT max(version) FROM processor_migrations) IS DISTINCT FROM 1 THEN
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
DELETE FROM processor_migrations WHERE version = 1;
COMMIT;
