-- The collections of a fleet, as Directus 12.4 makes them by its API on a PostgreSQL without PostGIS:
-- uuid keys without a default, m2o columns nullable without an index, "Timestamp" as timestamptz,
-- "Decimal" as numeric, "Float" as real, shapes as json.
CREATE TABLE public.devices (
  id uuid NOT NULL,
  imei character varying(15) NOT NULL,
  model character varying(255),
  date_created timestamp with time zone,
  date_updated timestamp with time zone
);
CREATE TABLE public.vehicles (
  id uuid NOT NULL,
  name character varying(255),
  scope character varying(255),
  date_created timestamp with time zone,
  date_updated timestamp with time zone
);
CREATE TABLE public.device_assignments (
  id uuid NOT NULL,
  device uuid,
  vehicle uuid,
  valid_from timestamp with time zone NOT NULL,
  valid_to timestamp with time zone,
  date_created timestamp with time zone,
  date_updated timestamp with time zone
);
CREATE TABLE public.geofences (
  id uuid NOT NULL,
  name character varying(255),
  status character varying(255) DEFAULT 'draft'::character varying,
  scope character varying(255),
  shape json,
  radius_m real,
  margin_m real DEFAULT '20'::real,
  valid_from timestamp with time zone,
  valid_to timestamp with time zone,
  date_created timestamp with time zone,
  date_updated timestamp with time zone
);
CREATE TABLE public.ignored_ranges (
  id uuid NOT NULL,
  device uuid,
  valid_from timestamp with time zone NOT NULL,
  valid_to timestamp with time zone NOT NULL,
  reason character varying(255),
  date_created timestamp with time zone,
  date_updated timestamp with time zone
);
CREATE TABLE public.timing_records (
  id uuid NOT NULL,
  device uuid,
  vehicle uuid,
  geofence uuid,
  direction character varying(255) NOT NULL,
  at timestamp with time zone NOT NULL,
  before_ts timestamp with time zone,
  after_ts timestamp with time zone NOT NULL,
  method character varying(255),
  source character varying(255) DEFAULT 'manual'::character varying NOT NULL,
  superseded_at timestamp with time zone,
  latitude numeric(10,7),
  longitude numeric(10,7),
  date_created timestamp with time zone,
  date_updated timestamp with time zone
);

ALTER TABLE ONLY public.devices ADD CONSTRAINT devices_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.devices ADD CONSTRAINT devices_imei_unique UNIQUE (imei);
ALTER TABLE ONLY public.vehicles ADD CONSTRAINT vehicles_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.device_assignments ADD CONSTRAINT device_assignments_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.geofences ADD CONSTRAINT geofences_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ignored_ranges ADD CONSTRAINT ignored_ranges_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.timing_records ADD CONSTRAINT timing_records_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.device_assignments ADD CONSTRAINT device_assignments_device_foreign
  FOREIGN KEY (device) REFERENCES public.devices(id);
ALTER TABLE ONLY public.device_assignments ADD CONSTRAINT device_assignments_vehicle_foreign
  FOREIGN KEY (vehicle) REFERENCES public.vehicles(id);
ALTER TABLE ONLY public.ignored_ranges ADD CONSTRAINT ignored_ranges_device_foreign
  FOREIGN KEY (device) REFERENCES public.devices(id);
ALTER TABLE ONLY public.timing_records ADD CONSTRAINT timing_records_device_foreign
  FOREIGN KEY (device) REFERENCES public.devices(id);
ALTER TABLE ONLY public.timing_records ADD CONSTRAINT timing_records_vehicle_foreign
  FOREIGN KEY (vehicle) REFERENCES public.vehicles(id);
ALTER TABLE ONLY public.timing_records ADD CONSTRAINT timing_records_geofence_foreign
  FOREIGN KEY (geofence) REFERENCES public.geofences(id);
