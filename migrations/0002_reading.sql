-- What readers of positions call, so that nobody writes it twice. Every function takes its time
-- range from the caller; positions.last_positions is the one reader of all time, and is made for it.
DO $$
BEGIN
  IF to_regclass('public.positions') IS NULL THEN
    RAISE EXCEPTION 'positions is not in the schema public: set the search_path of the migrating role to public';
  END IF;
END $$;

CREATE SCHEMA IF NOT EXISTS positions;

-- Without it "every device" is a search through every chunk: 1,000,000 index probes for 10,000
-- devices in 100 chunks. Written by the trigger below, at most once a device and day.
CREATE TABLE positions.devices (
  device_id  text        PRIMARY KEY,
  newest_day timestamptz NOT NULL
);

COMMENT ON TABLE positions.devices IS 'Every device with rows in positions. Derived; kept by a trigger on positions.';
COMMENT ON COLUMN positions.devices.newest_day IS 'Start of the UTC day of its newest record: where its last position is looked for first.';

-- Sorted, so that two batches at once cannot deadlock; what is known already is left out before
-- the insert, because ON CONFLICT would lock its row. The owner's rights: a writer needs none here.
CREATE FUNCTION positions.note_devices() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  INSERT INTO positions.devices AS known (device_id, newest_day)
  SELECT fresh.device_id, fresh.newest_day
    FROM (SELECT new_rows.device_id, date_trunc('day', max(new_rows.ts), 'UTC') AS newest_day
            FROM new_rows GROUP BY new_rows.device_id) AS fresh
    LEFT JOIN positions.devices AS seen USING (device_id)
   WHERE seen.newest_day IS NULL OR seen.newest_day < fresh.newest_day
   ORDER BY fresh.device_id
  ON CONFLICT (device_id) DO UPDATE SET newest_day = excluded.newest_day
   WHERE known.newest_day < excluded.newest_day;
  RETURN NULL;
END $$;

REVOKE ALL ON FUNCTION positions.note_devices() FROM PUBLIC;

CREATE TRIGGER note_devices AFTER INSERT ON public.positions
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION positions.note_devices();

-- Bodies in BEGIN ATOMIC are bound to the tables when they are created, whatever the caller's
-- search_path, and are inlined: the planner sees the time range and leaves out the other chunks.
CREATE FUNCTION positions.track(device text, from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (ts timestamptz, latitude double precision, longitude double precision,
               altitude integer, angle real, speed integer, satellites smallint,
               event_io_id integer, attributes jsonb)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT p.ts, p.latitude, p.longitude, p.altitude, p.angle, p.speed, p.satellites,
         p.event_io_id, p.attributes
    FROM public.positions AS p
   WHERE p.device_id = device AND p.ts >= from_ts AND p.ts < to_ts AND p.fix
   ORDER BY p.ts;
END;

COMMENT ON FUNCTION positions.track IS 'The fixes of a device from from_ts up to, not including, to_ts, oldest first.';

CREATE FUNCTION positions.devices_in_window(from_ts timestamptz, to_ts timestamptz)
RETURNS TABLE (device_id text, first_ts timestamptz, last_ts timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT d.device_id, earliest.ts, latest.ts
    FROM positions.devices AS d
    CROSS JOIN LATERAL (
      SELECT p.ts FROM public.positions AS p
       WHERE p.device_id = d.device_id AND p.ts >= from_ts AND p.ts < to_ts
       ORDER BY p.ts LIMIT 1) AS earliest
    CROSS JOIN LATERAL (
      SELECT p.ts FROM public.positions AS p
       WHERE p.device_id = d.device_id AND p.ts >= from_ts AND p.ts < to_ts
       ORDER BY p.ts DESC LIMIT 1) AS latest
   WHERE d.newest_day > from_ts - INTERVAL '24 hours';
END;

COMMENT ON FUNCTION positions.devices_in_window IS 'Devices with records from from_ts up to, not including, to_ts, with or without a fix, and the first and last of these.';

-- atan2 and not asin, which fails on a rounding error above 1 for opposite points. One expression,
-- although it computes its middle term twice: only that is inlined, and a call takes 20 µs.
CREATE FUNCTION positions.metres_between(
  latitude_a double precision, longitude_a double precision,
  latitude_b double precision, longitude_b double precision)
RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 2 * 6371008.8 * atan2(
  sqrt(sin(radians(latitude_b - latitude_a) / 2) ^ 2
     + cos(radians(latitude_a)) * cos(radians(latitude_b))
     * sin(radians(longitude_b - longitude_a) / 2) ^ 2),
  sqrt(abs(1 - sin(radians(latitude_b - latitude_a) / 2) ^ 2
             - cos(radians(latitude_a)) * cos(radians(latitude_b))
             * sin(radians(longitude_b - longitude_a) / 2) ^ 2)));

COMMENT ON FUNCTION positions.metres_between IS 'Great-circle distance by haversine on a sphere of the mean radius; within 0.6 % of the ellipsoid.';

CREATE FUNCTION positions.distance_per_day(
  device text, from_ts timestamptz, to_ts timestamptz,
  zone text DEFAULT 'UTC', longest_step interval DEFAULT INTERVAL '10 minutes')
RETURNS TABLE (day date, fixes bigint, metres double precision, moving interval)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT (s.ts AT TIME ZONE zone)::date, count(*),
         coalesce(sum(positions.metres_between(
           s.previous_latitude, s.previous_longitude, s.latitude, s.longitude)), 0),
         coalesce(sum(s.ts - s.previous_ts) FILTER (
           WHERE (s.speed > 0 OR s.previous_speed > 0) AND s.ts - s.previous_ts <= longest_step),
           INTERVAL '0')
    FROM (SELECT p.ts, p.latitude, p.longitude, p.speed,
                 lag(p.ts) OVER by_time AS previous_ts, lag(p.speed) OVER by_time AS previous_speed,
                 lag(p.latitude) OVER by_time AS previous_latitude,
                 lag(p.longitude) OVER by_time AS previous_longitude
            FROM public.positions AS p
           WHERE p.device_id = device AND p.ts >= from_ts AND p.ts < to_ts AND p.fix
          WINDOW by_time AS (ORDER BY p.ts)) AS s
   GROUP BY 1 ORDER BY 1;
END;

COMMENT ON FUNCTION positions.distance_per_day IS 'Per day of the zone: fixes, metres in straight lines from fix to fix, and time moving: steps with speed at either end, no longer than longest_step. A step counts to the day it ends in.';

CREATE FUNCTION positions.gaps(
  device text, from_ts timestamptz, to_ts timestamptz, min_gap interval)
RETURNS TABLE (gap_from timestamptz, gap_to timestamptz, length interval)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
  SELECT s.previous_ts, s.ts, s.ts - s.previous_ts
    FROM (SELECT t.ts, lag(t.ts) OVER (ORDER BY t.ts) AS previous_ts
            FROM (SELECT p.ts FROM public.positions AS p
                   WHERE p.device_id = device AND p.ts >= from_ts AND p.ts < to_ts
                     AND p.ts <= now()
                  UNION ALL SELECT from_ts WHERE from_ts <= now()
                  UNION ALL SELECT least(to_ts, now())) AS t) AS s
   WHERE s.ts - s.previous_ts >= min_gap
   ORDER BY 1;
END;

COMMENT ON FUNCTION positions.gaps IS 'Times of at least min_gap without any record of the device, the edges of the window included; a device silent throughout is one gap. Nothing is missed in the future.';

CREATE TYPE positions.contact AS (device_id text, ts timestamptz, attributes jsonb);

COMMENT ON TYPE positions.contact IS 'A record whose fix is to be looked for; only used inside positions.last_position.';

-- Devices of the same newest day are looked up together, so that one plan touches one chunk; older
-- days in groups that double, so that many retired devices take few plans. Custom plans, because
-- the planner leaves out chunks only for a time range that it knows.
CREATE FUNCTION positions.last_position(
  device_ids text[], fix_within interval DEFAULT INTERVAL '30 days')
RETURNS TABLE (device_id text, last_ts timestamptz, attributes jsonb, fix_ts timestamptz,
               latitude double precision, longitude double precision, altitude integer,
               angle real, speed integer, satellites smallint)
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10000
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_custom_plan
SET jit = off
SET work_mem = '32MB'
AS $$
#variable_conflict use_column
DECLARE
  a_day    CONSTANT interval := INTERVAL '24 hours';
  days     CONSTANT timestamptz[] := ARRAY(
    SELECT DISTINCT d.newest_day FROM positions.devices AS d
     WHERE d.device_id = ANY (device_ids) ORDER BY 1 DESC);
  at_day   integer := 1;
  in_group integer := 1;
  earliest timestamptz;
  latest   timestamptz;
  fix      boolean;
  blind    positions.contact[];         -- newest record without a fix
  unfixed  positions.contact[] := '{}'; -- and without one in the day before it
  astray   text[] := '{}';              -- no row left on the newest day: deleted by hand
BEGIN
  WHILE at_day <= cardinality(days) LOOP
    latest := days[at_day] + a_day;
    earliest := days[least(at_day + in_group - 1, cardinality(days))];
    blind := '{}';
    FOR device_id, last_ts, attributes, fix, fix_ts, latitude, longitude, altitude, angle, speed,
        satellites IN
      SELECT d.device_id, p.ts, p.attributes, p.fix, p.ts, p.latitude, p.longitude, p.altitude,
             p.angle, p.speed, p.satellites
        FROM positions.devices AS d
        LEFT JOIN LATERAL (
          SELECT q.* FROM public.positions AS q
           WHERE q.device_id = d.device_id AND q.ts >= earliest AND q.ts < latest
           ORDER BY q.ts DESC LIMIT 1) AS p ON true
       WHERE d.device_id = ANY (device_ids) AND d.newest_day >= earliest AND d.newest_day < latest
    LOOP
      IF fix THEN
        RETURN NEXT;
      ELSIF last_ts IS NULL THEN
        astray := astray || device_id;
      ELSE
        blind := blind || ROW (device_id, last_ts, attributes)::positions.contact;
      END IF;
    END LOOP;

    IF blind <> '{}' THEN
      earliest := earliest - a_day;
      FOR device_id, last_ts, attributes, fix_ts, latitude, longitude, altitude, angle, speed,
          satellites IN
        SELECT b.device_id, b.ts, b.attributes, p.*
          FROM unnest(blind) AS b
          LEFT JOIN LATERAL (
            SELECT q.ts, q.latitude, q.longitude, q.altitude, q.angle, q.speed, q.satellites
              FROM public.positions AS q
             WHERE q.device_id = b.device_id AND q.fix AND q.ts >= earliest AND q.ts < latest
               AND q.ts < b.ts AND q.ts >= b.ts - least(fix_within, a_day)
             ORDER BY q.ts DESC LIMIT 1) AS p ON true
      LOOP
        IF fix_ts IS NULL THEN
          unfixed := unfixed || ROW (device_id, last_ts, attributes)::positions.contact;
        ELSE
          RETURN NEXT;
        END IF;
      END LOOP;
    END IF;

    at_day := at_day + in_group;
    IF at_day > 3 THEN in_group := in_group * 2; END IF;
  END LOOP;

  IF astray <> '{}' THEN
    unfixed := unfixed || ARRAY(
      SELECT ROW (a.id, p.ts, p.attributes)::positions.contact
        FROM unnest(astray) AS a (id)
        CROSS JOIN LATERAL (
          SELECT q.ts, q.attributes FROM public.positions AS q
           WHERE q.device_id = a.id ORDER BY q.ts DESC LIMIT 1) AS p);
  END IF;

  IF unfixed <> '{}' THEN
    SELECT min(u.ts) - fix_within, max(u.ts) INTO earliest, latest FROM unnest(unfixed) AS u;
    RETURN QUERY
      SELECT u.device_id, u.ts, u.attributes, p.*
        FROM unnest(unfixed) AS u
        LEFT JOIN LATERAL (
          SELECT q.ts, q.latitude, q.longitude, q.altitude, q.angle, q.speed, q.satellites
            FROM public.positions AS q
           WHERE q.device_id = u.device_id AND q.fix AND q.ts >= earliest AND q.ts <= latest
             AND q.ts <= u.ts AND q.ts >= u.ts - fix_within
           ORDER BY q.ts DESC LIMIT 1) AS p ON true;
  END IF;
END $$;

COMMENT ON FUNCTION positions.last_position IS 'Last contact of each device and its IO values, and the last fix no older than fix_within before it; NULL where there is none. A device without rows is left out.';

CREATE VIEW positions.last_positions AS
SELECT * FROM positions.last_position(ARRAY(SELECT device_id FROM positions.devices));

COMMENT ON VIEW positions.last_positions IS 'positions.last_position of every device. For one device, or some, call the function.';
