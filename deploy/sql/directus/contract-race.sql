-- What processor reads and writes of Directus, for a race. A sample: adapt the names on the right of
-- the views to your collections, keep the names and types on the left. deploy/sql/directus/README.md.
--
-- Run it as the role of Directus, which then owns the views, and again before and after a change of
-- the collections: PostgreSQL refuses to drop or to retype a column that a view reads.
--
--   psql --no-psqlrc --set ON_ERROR_STOP=1 --file deploy/sql/directus/contract-race.sql \
--     'postgres://directus@db/telemetry'
--
-- Before the first time, as a superuser: run deploy/sql/roles.sql, which makes processor_domain, and
--   CREATE SCHEMA IF NOT EXISTS processor_contract AUTHORIZATION directus;
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;

DROP VIEW IF EXISTS processor_contract.geofences_v1, processor_contract.devices_v1,
  processor_contract.ignored_v1;

-- One row a geofence in use. One without an event holds for the devices of every event.
CREATE VIEW processor_contract.geofences_v1 AS
SELECT g.id::text AS geofence,
       g.event::text AS scope,
       g.shape AS shape, -- of type geometry: public.st_asgeojson(g.shape)::json
       g.radius_m::double precision AS radius_m,
       g.margin_m::double precision AS margin_m,
       g.valid_from, -- of type timestamptz, in Directus "Timestamp", not "DateTime"
       g.valid_to,
       greatest(g.date_created, g.date_updated) AS changed_at
  FROM public.geofences AS g
 WHERE g.status = 'published';

-- One row for each device of an entry, valid while the event runs. The entry is the subject: set
-- DOMAIN_SUBJECT_COLUMN=entry. The event is the scope: its geofences hold for its own entries only.
CREATE VIEW processor_contract.devices_v1 AS
SELECT d.imei::text AS imei,
       d.id::text AS device,
       e.id::text AS subject,
       e.event::text AS scope,
       v.starts_at AS valid_from,
       v.ends_at AS valid_to,
       greatest(d.date_created, d.date_updated, m.date_created, m.date_updated,
                e.date_created, e.date_updated, v.date_created, v.date_updated) AS changed_at
  FROM public.entry_devices AS m
  JOIN public.devices AS d ON d.id = m.device
  JOIN public.entries AS e ON e.id = m.entry
  JOIN public.events AS v ON v.id = e.event;

-- Optional. Times whose positions do not count, such as those that an official marked as faulty.
CREATE VIEW processor_contract.ignored_v1 AS
SELECT d.imei::text AS imei,
       i.valid_from AS from_ts,
       i.valid_to AS to_ts,
       greatest(d.date_created, d.date_updated, i.date_created, i.date_updated) AS changed_at
  FROM public.ignored_ranges AS i
  JOIN public.devices AS d ON d.id = i.device;

-- Without them every batch reads the whole table. Directus leaves indexes that it did not make alone.
CREATE INDEX IF NOT EXISTS timing_records_live_device
  ON public.timing_records (device, after_ts) WHERE superseded_at IS NULL;
CREATE INDEX IF NOT EXISTS timing_records_live_geofence
  ON public.timing_records (device, geofence, after_ts DESC) WHERE superseded_at IS NULL;

-- All that processor may do. It never deletes, and of a stored row it changes superseded_at only.
GRANT USAGE ON SCHEMA processor_contract TO processor_domain;
GRANT SELECT ON processor_contract.geofences_v1, processor_contract.devices_v1,
  processor_contract.ignored_v1 TO processor_domain;
GRANT USAGE ON SCHEMA public TO processor_domain;
GRANT SELECT, INSERT, UPDATE (superseded_at) ON public.timing_records TO processor_domain;
COMMIT;
