-- The down migration of 0005_absent_parts.sql: docs/migrations.md. The version before knows 0 for a
-- part that was not sent, so NULLs become 0 first. This is the one place that changes stored rows;
-- rows of codec 7 in compressed chunks are decompressed for it, however many they are.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
DO $$
BEGIN
  IF (SELECT max(version) FROM public.processor_migrations) IS DISTINCT FROM 5 THEN
    RAISE EXCEPTION 'the newest migration applied is not 5: go back one by one, newest first';
  END IF;
END $$;
SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0;
UPDATE public.positions
   SET altitude = coalesce(altitude, 0), angle = coalesce(angle, 0),
       speed = coalesce(speed, 0), satellites = coalesce(satellites, 0)
 WHERE codec = '7' AND (altitude IS NULL OR angle IS NULL OR speed IS NULL OR satellites IS NULL);
ALTER TABLE public.positions
  ALTER COLUMN altitude   SET NOT NULL,
  ALTER COLUMN angle      SET NOT NULL,
  ALTER COLUMN speed      SET NOT NULL,
  ALTER COLUMN satellites SET NOT NULL;
ALTER TABLE public.positions
  DROP CONSTRAINT positions_fix_has_position,
  ADD CONSTRAINT positions_fix_has_position
    CHECK (NOT fix OR (num_nonnulls(latitude) = 1 AND satellites > 0)) NOT VALID;
COMMENT ON COLUMN public.positions.altitude IS NULL;
DELETE FROM public.processor_migrations WHERE version = 5;
COMMIT;
