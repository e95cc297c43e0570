-- The down migration of 0007_domain.sql: docs/migrations.md. Stop the service first, or set
-- DOMAIN=off and run `processor migrate up`. No row of positions or of Directus is touched; what
-- waits in the outbox is lost, and DOMAIN=on enqueues the time within DOMAIN_RECOMPUTE_HORIZON again.
BEGIN;
SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL lock_timeout = '5s';
DO $$
BEGIN
  IF (SELECT max(version) FROM public.processor_migrations) IS DISTINCT FROM 7 THEN
    RAISE EXCEPTION 'the newest migration applied is not 7: go back one by one, newest first';
  END IF;
END $$;
DROP TRIGGER IF EXISTS note_outbox ON public.positions;
DROP FUNCTION positions.note_outbox();
DROP TABLE positions.domain_pause;
DROP TABLE positions.domain_version;
DROP TABLE positions.domain_seen;
DROP TABLE positions.outbox_parked;
DROP TABLE positions.outbox;
DELETE FROM public.processor_migrations WHERE version = 7;
COMMIT;
