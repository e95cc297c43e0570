-- A codec 7 record carries these parts only when its GPS mask announces them. NULL says that a part
-- was not sent; before this, 0 stood in its place. Only the catalog changes, no row is read.
ALTER TABLE public.positions
  ALTER COLUMN altitude   DROP NOT NULL,
  ALTER COLUMN angle      DROP NOT NULL,
  ALTER COLUMN speed      DROP NOT NULL,
  ALTER COLUMN satellites DROP NOT NULL;

-- A comparison with NULL would let a fix without satellites pass. NOT VALID: rows that are there have
-- satellites, so they need no check; new rows are checked.
ALTER TABLE public.positions
  DROP CONSTRAINT positions_fix_has_position,
  ADD CONSTRAINT positions_fix_has_position
    CHECK (NOT fix OR (latitude IS NOT NULL AND satellites IS NOT NULL AND satellites > 0)) NOT VALID;

COMMENT ON COLUMN public.positions.altitude IS 'Metres, signed. NULL: a codec 7 record without this part; so in angle, speed and satellites.';
