-- TimescaleDB's retention policy drops chunks and leaves the list of devices as it is. The migrator
-- adds this procedure as a job beside the policy, so that a device is forgotten with its last row.
CREATE PROCEDURE positions.forget_devices(job_id integer, config jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  -- Each device is asked for by itself: joined, the planner may read the whole table.
  DELETE FROM positions.devices AS d
   WHERE d.newest_day < now() - (config ->> 'drop_after')::interval
     AND (SELECT 1 FROM public.positions AS p WHERE p.device_id = d.device_id LIMIT 1) IS NULL;
END $$;

REVOKE ALL ON PROCEDURE positions.forget_devices(integer, jsonb) FROM PUBLIC;

COMMENT ON PROCEDURE positions.forget_devices(integer, jsonb) IS 'Job: forgets devices that have no row left. config.drop_after is the age that retention drops.';
