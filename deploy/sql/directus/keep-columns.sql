-- Optional, beside contract-fleet.sql or contract-race.sql: lets PostgreSQL refuse to drop or to retype
-- a column of timing_records that processor writes, also when a person does it in Directus. Nothing
-- reads this view. Without it such a change turns the domain off, and dropping a column loses its
-- values in every record.
--
-- Run it as the role of Directus, with the other file. Drop the view before you change the table:
--   DROP VIEW processor_contract.timing_records_kept;
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE VIEW processor_contract.timing_records_kept AS
SELECT id, device, geofence, direction, at, before_ts, after_ts, method, source, superseded_at
  FROM public.timing_records;
COMMIT;
