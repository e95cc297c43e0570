-- Bookkeeping of geofences and timing records. The outbox says which times of a device to look at
-- again; it holds no facts, so its rows may be merged, repeated and taken in any order. Empty and
-- without effect until DOMAIN=on creates the trigger (src/db/domain-switch.ts).
CREATE TABLE positions.outbox (
  id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  device_id   text        NOT NULL,
  from_ts     timestamptz NOT NULL,
  to_ts       timestamptz NOT NULL,
  enqueued_at timestamptz NOT NULL DEFAULT now()
) WITH (
  -- Every row is deleted soon: dead rows are removed by their number, not by a share of a size that
  -- is near zero when the workers keep up.
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000
);

COMMENT ON TABLE positions.outbox IS 'Times of a device, both ends included, whose timing records are to be derived again. Filled by a trigger on positions while DOMAIN=on.';
COMMENT ON COLUMN positions.outbox.to_ts IS 'infinity: everything from from_ts on.';

CREATE TABLE positions.outbox_parked (
  device_id text        PRIMARY KEY,
  from_ts   timestamptz NOT NULL,
  to_ts     timestamptz NOT NULL,
  attempts  integer     NOT NULL,
  error     text        NOT NULL,
  parked_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON TABLE positions.outbox_parked IS 'Devices whose timing records could not be derived repeatedly; processor domain retry returns them to the outbox.';

-- Compared with the views of processor_contract, it tells what was edited since.
CREATE TABLE positions.domain_seen (
  kind    text        NOT NULL CHECK (kind IN ('geofence', 'assignment', 'ignored')),
  key     text        NOT NULL,
  hash    bytea       NOT NULL,
  from_ts timestamptz,
  to_ts   timestamptz,
  imei    text,
  scope   text,
  PRIMARY KEY (kind, key)
);

COMMENT ON TABLE positions.domain_seen IS 'The last evaluated state of each row of the contract views.';

CREATE TABLE positions.domain_version (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  version   bigint  NOT NULL
);

COMMENT ON TABLE positions.domain_version IS 'Rises with every change of geofences or assignments: an instance with an older version reloads first.';

INSERT INTO positions.domain_version (version) VALUES (0);

CREATE TABLE positions.domain_pause (
  singleton boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
  since     timestamptz NOT NULL DEFAULT now(),
  by_whom   text        NOT NULL,
  reason    text        NOT NULL
);

COMMENT ON TABLE positions.domain_pause IS 'A row: all instances leave the outbox as it is.';

-- One row for each device and hour: one batch may hold a live record and one of months ago, and a
-- single range over both would make a worker read the months between. Appends only, so two batches
-- at once cannot wait for each other.
CREATE FUNCTION positions.note_outbox() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO positions.outbox (device_id, from_ts, to_ts)
  SELECT new_rows.device_id, min(new_rows.ts), max(new_rows.ts)
    FROM new_rows
   GROUP BY new_rows.device_id, date_bin('1 hour', new_rows.ts, '2000-01-01 00:00:00+00');
  RETURN NULL;
END $$;

REVOKE ALL ON FUNCTION positions.note_outbox() FROM PUBLIC;

COMMENT ON FUNCTION positions.note_outbox() IS 'Statement trigger on positions while DOMAIN=on: adds the inserted times to the outbox.';

-- The role of the domain, where deploy/sql/roles.sql made one before the first start. It names the
-- role in a setting of the migrating role, because a table cannot be granted before it exists.
DO $$
DECLARE
  domain_role CONSTANT text := current_setting('processor.domain_role', true);
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = domain_role) THEN RETURN; END IF;
  EXECUTE format('GRANT SELECT ON positions.devices TO %I', domain_role);
  EXECUTE format('GRANT SELECT, INSERT, DELETE, UPDATE (enqueued_at) ON positions.outbox TO %I', domain_role);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON positions.outbox_parked, positions.domain_seen,
                  positions.domain_version, positions.domain_pause TO %I', domain_role);
END $$;
