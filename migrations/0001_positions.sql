-- The one table this service owns. The migrator turns it into a hypertable afterwards,
-- because the chunk interval is configuration and a checksummed file must not change.
CREATE TABLE positions (
  device_id       text             NOT NULL,
  ts              timestamptz      NOT NULL,
  latitude        double precision,
  longitude       double precision,
  altitude        integer          NOT NULL,
  angle           real             NOT NULL,
  speed           integer          NOT NULL,
  satellites      smallint         NOT NULL,
  priority        smallint         NOT NULL,
  fix             boolean          NOT NULL,
  event_io_id     integer,
  generation_type smallint,
  codec           text             NOT NULL,
  attributes      jsonb            NOT NULL,
  ingested_at     timestamptz      NOT NULL DEFAULT now(),
  PRIMARY KEY (device_id, ts),
  -- BETWEEN refuses NaN, which a bare double precision column accepts.
  CONSTRAINT positions_device_id_imei      CHECK (device_id ~ '^[0-9]{15}$'),
  CONSTRAINT positions_latitude_range      CHECK (latitude BETWEEN -90 AND 90),
  CONSTRAINT positions_longitude_range     CHECK (longitude BETWEEN -180 AND 180),
  CONSTRAINT positions_position_whole      CHECK ((latitude IS NULL) = (longitude IS NULL)),
  CONSTRAINT positions_fix_has_position    CHECK (NOT fix OR (latitude IS NOT NULL AND satellites > 0)),
  CONSTRAINT positions_altitude_range      CHECK (altitude BETWEEN -32768 AND 65535),
  CONSTRAINT positions_angle_range         CHECK (angle BETWEEN 0 AND 360),
  CONSTRAINT positions_speed_range         CHECK (speed BETWEEN 0 AND 65535),
  CONSTRAINT positions_satellites_range    CHECK (satellites BETWEEN 0 AND 255),
  CONSTRAINT positions_priority_range      CHECK (priority BETWEEN 0 AND 255),
  CONSTRAINT positions_event_io_id_range   CHECK (event_io_id BETWEEN 0 AND 65535),
  CONSTRAINT positions_generation_range    CHECK (generation_type BETWEEN 0 AND 255),
  CONSTRAINT positions_codec_known         CHECK (codec IN ('7', '8', '8E', '16')),
  CONSTRAINT positions_attributes_object   CHECK (jsonb_typeof(attributes) = 'object')
);

COMMENT ON TABLE positions IS 'Teltonika AVL records, one row a record; written by processor, idempotent by (device_id, ts).';
COMMENT ON COLUMN positions.ts IS 'Time of the record by the device, millisecond precision.';
COMMENT ON COLUMN positions.fix IS 'satellites > 0 and not 0/0; a row without a fix never is a last position.';
COMMENT ON COLUMN positions.attributes IS 'IO elements by decimal id: number up to 53 bits unsigned, decimal string beyond, lowercase hex for bytes.';
COMMENT ON COLUMN positions.ingested_at IS 'When the row was written.';
