-- The way back from 0002_reading.sql: docs/migrations.md. No row of positions is touched; the list
-- of devices goes, and is made anew by the way up. Set AGGREGATES=off before: what is left in the
-- schema stops this.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL lock_timeout = '5s';
DO $$
BEGIN
  IF (SELECT max(version) FROM public.processor_migrations) IS DISTINCT FROM 2 THEN
    RAISE EXCEPTION 'the newest migration applied is not 2: go back one by one, newest first';
  END IF;
END $$;
DROP TRIGGER note_devices ON public.positions;
DROP VIEW positions.last_positions;
DROP FUNCTION positions.last_position(text[], interval);
DROP TYPE positions.contact;
DROP FUNCTION positions.gaps(text, timestamptz, timestamptz, interval);
DROP FUNCTION positions.distance_per_day(text, timestamptz, timestamptz, text, interval);
DROP FUNCTION positions.metres_between(double precision, double precision, double precision, double precision);
DROP FUNCTION positions.devices_in_window(timestamptz, timestamptz);
DROP FUNCTION positions.track(text, timestamptz, timestamptz);
DROP FUNCTION positions.note_devices();
DROP TABLE positions.devices;
DROP SCHEMA positions;
DELETE FROM public.processor_migrations WHERE version = 2;
COMMIT;
