-- Names the timing records that processor writes or supersedes, for the hook timing-live.
-- For psql, run by the role that owns public.timing_records, which is the one of Directus:
--
--   psql --no-psqlrc --dbname telemetry --file deploy/sql/directus/websocket/announce.sql
--
-- Run it at any time: it ends in the same state. To remove it:
--   DROP FUNCTION public.announce_new_timing_records(), public.announce_superseded_timing_records() CASCADE;
\set ON_ERROR_STOP on
SET search_path = pg_catalog, pg_temp;
BEGIN;

-- A payload of NOTIFY is shorter than 8,000 bytes: 200 keys of 36 characters.
CREATE OR REPLACE FUNCTION public.announce_new_timing_records() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM pg_notify('timing_records', string_agg(numbered.id, ','))
     FROM (SELECT id::text, (row_number() OVER () - 1) / 200 AS part
             FROM new_rows WHERE source = 'processor') AS numbered
    GROUP BY numbered.part;
  RETURN NULL;
END $$;

-- Only where superseded_at changed: the hook itself updates the rows that it announces.
CREATE OR REPLACE FUNCTION public.announce_superseded_timing_records() RETURNS trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM pg_notify('timing_records', string_agg(numbered.id, ','))
     FROM (SELECT new_rows.id::text, (row_number() OVER () - 1) / 200 AS part
             FROM new_rows JOIN old_rows ON old_rows.id = new_rows.id
            WHERE new_rows.source = 'processor'
              AND new_rows.superseded_at IS DISTINCT FROM old_rows.superseded_at) AS numbered
    GROUP BY numbered.part;
  RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER announce_new AFTER INSERT ON public.timing_records
  REFERENCING NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION public.announce_new_timing_records();
CREATE OR REPLACE TRIGGER announce_superseded AFTER UPDATE ON public.timing_records
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION public.announce_superseded_timing_records();
COMMIT;
