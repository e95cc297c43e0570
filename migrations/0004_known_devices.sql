-- The devices of rows that were there before the trigger of 0002. A file of its own, so that it
-- runs in a transaction of its own: writers go on while every chunk is searched. From one device
-- to the next by the primary key, which takes a probe a chunk and device however many rows.
INSERT INTO positions.devices AS known (device_id, newest_day)
WITH RECURSIVE device AS (
  (SELECT p.device_id FROM public.positions AS p ORDER BY p.device_id LIMIT 1)
  UNION ALL
  SELECT (SELECT p.device_id FROM public.positions AS p
           WHERE p.device_id > device.device_id ORDER BY p.device_id LIMIT 1)
    FROM device WHERE device.device_id IS NOT NULL
)
SELECT device.device_id, date_trunc('day', newest.ts, 'UTC')
  FROM device
  CROSS JOIN LATERAL (
    SELECT p.ts FROM public.positions AS p
     WHERE p.device_id = device.device_id ORDER BY p.ts DESC LIMIT 1) AS newest
 ORDER BY device.device_id
ON CONFLICT (device_id) DO UPDATE SET newest_day = excluded.newest_day
 WHERE known.newest_day < excluded.newest_day;
