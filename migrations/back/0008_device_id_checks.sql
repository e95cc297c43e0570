-- The down migration of 0008_device_id_checks.sql: docs/migrations.md. TimescaleDB reads the device
-- of each segment of the compressed chunks; no other row is read.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL lock_timeout = '5s';
DO $$
BEGIN
  IF (SELECT max(version) FROM public.processor_migrations) IS DISTINCT FROM 8 THEN
    RAISE EXCEPTION 'the newest migration applied is not 8: go back one by one, newest first';
  END IF;
END $$;
ALTER TABLE positions.devices DROP CONSTRAINT devices_device_id_imei;
ALTER TABLE public.positions
  DROP CONSTRAINT positions_device_id_length,
  ADD CONSTRAINT positions_device_id_imei CHECK (device_id ~ '^[0-9]{15}$') NOT VALID;
DELETE FROM public.processor_migrations WHERE version = 8;
COMMIT;
