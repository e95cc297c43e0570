-- A codec 7 record carries these parts only when its GPS mask announces them. NULL says that a part
-- was not sent; before this, 0 stood in its place. Only the catalog changes, no row is read.
ALTER TABLE public.positions
  ALTER COLUMN altitude   DROP NOT NULL,
  ALTER COLUMN angle      DROP NOT NULL,
  ALTER COLUMN speed      DROP NOT NULL,
  ALTER COLUMN satellites DROP NOT NULL;

-- num_nonnulls, because TimescaleDB 2.27.2 fails with 54001 (stack depth) when IS NOT NULL is added to two
-- or more compressed chunks. This file had IS NOT NULL before; where that was applied, nothing differs:
-- formerly 56af0b01cae65b5c5c74ec6d11d5c0f56a902e85b82801563f7fb56d935be876
-- A comparison with NULL would let a fix without satellites pass. NOT VALID: rows that are there have
-- satellites, so they need no check; new rows are checked.
ALTER TABLE public.positions
  DROP CONSTRAINT positions_fix_has_position,
  ADD CONSTRAINT positions_fix_has_position
    CHECK (NOT fix OR (num_nonnulls(latitude, satellites) = 2 AND satellites > 0)) NOT VALID;

COMMENT ON COLUMN public.positions.altitude IS 'Metres, signed. NULL: a codec 7 record without this part; so in angle, speed and satellites.';
