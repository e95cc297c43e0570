-- The four roles of processor, for psql, run by a superuser in the database of positions:
--
--   psql --no-psqlrc --dbname telemetry --file deploy/sql/roles.sql
--
-- processor_migrator  owns what the migrations make          MIGRATION_POSTGRES_URL
-- processor_writer    reads and adds positions, no more      POSTGRES_URL
-- processor_reader    reads positions and the views on them  dashboards, people
-- processor_domain    derives timing records                 DOMAIN_POSTGRES_URL
--
-- What processor_domain may do in the tables of Directus is granted by their owner: see
-- deploy/sql/directus/. Without DOMAIN=on the role is not used.
--
-- Run it before the first start: what the migrations make later is granted by then. Run it again
-- after an update of TimescaleDB, or at any time: it ends in the same state. Where the tables are
-- there already, with another owner, they become the migrator's.
--
-- Passwords come from files that these variables of the environment name; a role without a file
-- keeps the password it has, and a new one has none and cannot log in before \password gave it one.
--   PROCESSOR_MIGRATOR_PASSWORD_FILE, PROCESSOR_WRITER_PASSWORD_FILE, PROCESSOR_READER_PASSWORD_FILE,
--   PROCESSOR_DOMAIN_PASSWORD_FILE
--
-- Variables of psql (--set name=value): migrator, writer, reader, domain for other names of the roles;
-- migrator_connections, writer_connections, reader_connections, domain_connections for other limits
-- than 10, 50, 50 and 30;
-- adopt=<role> to take over tables and functions that this role made (a superuser's always are);
-- keep_public=1 to leave what every role may do in this database as it is (see the end).
\set ON_ERROR_STOP on
-- Before any other statement: this runs as a superuser, and a function that another role made in a
-- schema of the search path, as public.format(text, text), would run with a superuser's rights.
SET search_path = pg_catalog, pg_temp;
\if :{?migrator}
\else
  \set migrator processor_migrator
\endif
\if :{?writer}
\else
  \set writer processor_writer
\endif
\if :{?reader}
\else
  \set reader processor_reader
\endif
\if :{?domain}
\else
  \set domain processor_domain
\endif
\if :{?migrator_connections}
\else
  \set migrator_connections 10
\endif
\if :{?writer_connections}
\else
  \set writer_connections 50
\endif
\if :{?reader_connections}
\else
  \set reader_connections 50
\endif
\if :{?domain_connections}
\else
  \set domain_connections 30
\endif
\if :{?adopt}
\else
  \set adopt ''
\endif
\if :{?keep_public}
\else
  \set keep_public 0
\endif
\set has_migrator_password `test -s "${PROCESSOR_MIGRATOR_PASSWORD_FILE:-}" && echo 1 || echo 0`
\set has_writer_password `test -s "${PROCESSOR_WRITER_PASSWORD_FILE:-}" && echo 1 || echo 0`
\set has_reader_password `test -s "${PROCESSOR_READER_PASSWORD_FILE:-}" && echo 1 || echo 0`
\set has_domain_password `test -s "${PROCESSOR_DOMAIN_PASSWORD_FILE:-}" && echo 1 || echo 0`
-- A file that is named and not there is a mistake, and must not pass for "no file".
\set named_and_missing `for f in "${PROCESSOR_MIGRATOR_PASSWORD_FILE:-}" "${PROCESSOR_WRITER_PASSWORD_FILE:-}" "${PROCESSOR_READER_PASSWORD_FILE:-}" "${PROCESSOR_DOMAIN_PASSWORD_FILE:-}"; do [ -z "$f" ] || [ -s "$f" ] || echo "$f"; done`

SET client_min_messages = warning;
BEGIN;
-- Passwords stand in the statements below: they must not stand in the server's log.
SET LOCAL log_statement = 'none';
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_error_statement = 'panic';

SELECT set_config('processor.migrator', :'migrator', true),
       set_config('processor.writer', :'writer', true),
       set_config('processor.reader', :'reader', true),
       set_config('processor.domain', :'domain', true),
       set_config('processor.adopt', :'adopt', true),
       set_config('processor.missing', :'named_and_missing', true) \g /dev/null

DO $$ BEGIN
  IF current_setting('processor.missing') <> '' THEN
    RAISE EXCEPTION 'the password file % is empty, or not there', current_setting('processor.missing');
  END IF;
END $$;

SELECT format('CREATE ROLE %I LOGIN', name)
  FROM (VALUES (:'migrator'), (:'writer'), (:'reader'), (:'domain')) AS wanted (name)
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

-- A role that was there before may have rights that no grant below takes away.
DO $$
DECLARE
  found record;
BEGIN
  FOR found IN
    SELECT rolname FROM pg_roles
     WHERE rolname IN (current_setting('processor.migrator'), current_setting('processor.writer'),
                       current_setting('processor.reader'), current_setting('processor.domain'))
       AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)
  LOOP
    RAISE EXCEPTION 'the role % has an attribute beyond LOGIN: ALTER ROLE ... NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS', found.rolname;
  END LOOP;
  FOR found IN
    SELECT member.rolname, granted.rolname AS of
      FROM pg_auth_members AS membership
      JOIN pg_roles AS member ON member.oid = membership.member
      JOIN pg_roles AS granted ON granted.oid = membership.roleid
     WHERE member.rolname IN (current_setting('processor.writer'), current_setting('processor.reader'),
                              current_setting('processor.domain'))
  LOOP
    RAISE EXCEPTION 'the role % is a member of %, and has its rights too: REVOKE it', found.rolname, found.of;
  END LOOP;
END $$;

\if :has_migrator_password
  \set password `cat "$PROCESSOR_MIGRATOR_PASSWORD_FILE"`
  ALTER ROLE :"migrator" PASSWORD :'password';
\endif
\if :has_writer_password
  \set password `cat "$PROCESSOR_WRITER_PASSWORD_FILE"`
  ALTER ROLE :"writer" PASSWORD :'password';
\endif
\if :has_reader_password
  \set password `cat "$PROCESSOR_READER_PASSWORD_FILE"`
  ALTER ROLE :"reader" PASSWORD :'password';
\endif
\if :has_domain_password
  \set password `cat "$PROCESSOR_DOMAIN_PASSWORD_FILE"`
  ALTER ROLE :"domain" PASSWORD :'password';
\endif
\unset password

-- A role's password then cannot take every connection of the server. For the whole server, also
-- where one writes to several databases: an instance uses WRITERS + 1, and 3 of the domain.
ALTER ROLE :"migrator" CONNECTION LIMIT :migrator_connections;
ALTER ROLE :"writer" CONNECTION LIMIT :writer_connections;
ALTER ROLE :"reader" CONNECTION LIMIT :reader_connections;
ALTER ROLE :"domain" CONNECTION LIMIT :domain_connections;

-- Of the role and not of a session: behind a transaction pooler a SET may be anybody's. They bound
-- mistakes; who has the password can set them again. public is not in the search path, because a
-- name would then be resolved through whatever other roles made there.
ALTER ROLE :"migrator" IN DATABASE :"DBNAME" SET search_path = pg_catalog, pg_temp;
ALTER ROLE :"migrator" IN DATABASE :"DBNAME" SET idle_in_transaction_session_timeout = '5min';
ALTER ROLE :"writer" IN DATABASE :"DBNAME" SET search_path = pg_catalog, pg_temp;
ALTER ROLE :"writer" IN DATABASE :"DBNAME" SET statement_timeout = '10s';
ALTER ROLE :"writer" IN DATABASE :"DBNAME" SET lock_timeout = '5s';
ALTER ROLE :"writer" IN DATABASE :"DBNAME" SET idle_in_transaction_session_timeout = '30s';
ALTER ROLE :"reader" IN DATABASE :"DBNAME" SET search_path = pg_catalog, pg_temp;
ALTER ROLE :"reader" IN DATABASE :"DBNAME" SET statement_timeout = '60s';
ALTER ROLE :"reader" IN DATABASE :"DBNAME" SET lock_timeout = '5s';
ALTER ROLE :"reader" IN DATABASE :"DBNAME" SET idle_in_transaction_session_timeout = '60s';
ALTER ROLE :"reader" IN DATABASE :"DBNAME" SET default_transaction_read_only = on;

ALTER ROLE :"domain" IN DATABASE :"DBNAME" SET search_path = pg_catalog, pg_temp;
ALTER ROLE :"domain" IN DATABASE :"DBNAME" SET statement_timeout = '60s';
ALTER ROLE :"domain" IN DATABASE :"DBNAME" SET lock_timeout = '5s';
ALTER ROLE :"domain" IN DATABASE :"DBNAME" SET idle_in_transaction_session_timeout = '60s';
-- Migration 0007 reads it: the tables of the domain are granted when it makes them.
ALTER ROLE :"migrator" IN DATABASE :"DBNAME" SET processor.domain_role = :'domain';

GRANT CONNECT ON DATABASE :"DBNAME" TO :"migrator", :"writer", :"reader", :"domain";
GRANT CREATE, TEMPORARY ON DATABASE :"DBNAME" TO :"migrator";
GRANT USAGE, CREATE ON SCHEMA public TO :"migrator";
GRANT USAGE ON SCHEMA public TO :"writer", :"reader", :"domain";

-- Here and not by the first migration, so that the end of this script can look after its functions.
SELECT 'CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public'
 WHERE current_setting('shared_preload_libraries') LIKE '%timescaledb%' \gexec

-- What another role made may hold a trigger or a function that would run as the migrator or the
-- writer. Taken over is what the migrator, a superuser or the role of --set adopt made.
CREATE SCHEMA IF NOT EXISTS positions;
DO $$
DECLARE
  object record;
BEGIN
  FOR object IN
    SELECT found.name, owner.rolname AS owner
      FROM (SELECT 'schema positions' AS name, nspowner AS oid FROM pg_namespace WHERE nspname = 'positions'
            UNION ALL
            SELECT 'table ' || c.oid::regclass, c.relowner FROM pg_class AS c
             WHERE c.relnamespace = 'positions'::regnamespace
                OR c.oid IN (to_regclass('public.positions'), to_regclass('public.processor_migrations'))
            UNION ALL
            SELECT 'function ' || oid::regprocedure, proowner FROM pg_proc
             WHERE pronamespace = 'positions'::regnamespace) AS found
      JOIN pg_roles AS owner ON owner.oid = found.oid
     WHERE NOT owner.rolsuper
       AND owner.rolname NOT IN (current_setting('processor.migrator'), current_setting('processor.adopt'))
     LIMIT 1
  LOOP
    RAISE EXCEPTION '% belongs to the role %: drop it, or run this again with --set adopt=% if you trust all that the role made', object.name, object.owner, object.owner;
  END LOOP;
END $$;

-- Everything of the migrations belongs to the migrator. A hypertable takes its chunks along.
ALTER SCHEMA positions OWNER TO :"migrator";
DO $$
DECLARE
  owner      CONSTANT regrole := quote_ident(current_setting('processor.migrator'))::regrole;
  aggregates regclass[] := '{}';
  object     record;
BEGIN
  -- The extension's own view: in its absence anyone could have made one of this name.
  IF EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN
    SELECT coalesce(array_agg(format('%I.%I', view_schema, view_name)::regclass), '{}') INTO aggregates
      FROM timescaledb_information.continuous_aggregates WHERE view_schema = 'positions';
  END IF;
  FOR object IN
    SELECT c.oid::regclass AS name,
           CASE WHEN c.oid = ANY (aggregates) OR c.relkind = 'm' THEN 'MATERIALIZED VIEW'
                WHEN c.relkind = 'v' THEN 'VIEW' ELSE 'TABLE' END AS kind
      FROM pg_class AS c
     WHERE c.relowner <> owner
       AND ((c.relnamespace = 'positions'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm'))
         OR c.oid IN (to_regclass('public.positions'), to_regclass('public.processor_migrations')))
  LOOP
    EXECUTE format('ALTER %s %s OWNER TO %s', object.kind, object.name, owner);
  END LOOP;
  FOR object IN
    SELECT oid::regprocedure AS name FROM pg_proc
     WHERE pronamespace = 'positions'::regnamespace AND proowner <> owner
  LOOP
    EXECUTE format('ALTER ROUTINE %s OWNER TO %s', object.name, owner);
  END LOOP;
  FOR object IN
    SELECT t.oid::regtype AS name FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = t.typrelid
     WHERE t.typnamespace = 'positions'::regnamespace AND t.typowner <> owner
       AND (c.relkind = 'c' OR t.typtype IN ('d', 'e', 'r'))
  LOOP
    EXECUTE format('ALTER TYPE %s OWNER TO %s', object.name, owner);
  END LOOP;
END $$;

-- A job keeps its owner when its table gets another, and only that owner may delete it. The migrator
-- adds its own job at the next migration.
DO $$
DECLARE
  job record;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') THEN RETURN; END IF;
  FOR job IN
    SELECT j.job_id::integer AS id, n.nspname AS schema
      FROM timescaledb_information.jobs AS j, pg_extension AS e
      JOIN pg_namespace AS n ON n.oid = e.extnamespace
     WHERE e.extname = 'timescaledb' AND j.proc_schema = 'positions' AND j.proc_name = 'forget_devices'
       AND j.owner::text <> current_setting('processor.migrator')
  LOOP
    EXECUTE format('SELECT %I.delete_job(%s)', job.schema, job.id);
  END LOOP;
END $$;

-- What is there now.
SELECT format('REVOKE ALL ON %s FROM %I, %I, %I', name, :'writer', :'reader', :'domain')
  FROM (VALUES (to_regclass('public.positions')), (to_regclass('public.processor_migrations')))
    AS ours (name) WHERE name IS NOT NULL \gexec
SELECT format('GRANT SELECT, INSERT ON public.positions TO %I', :'writer')
 WHERE to_regclass('public.positions') IS NOT NULL \gexec
SELECT format('GRANT SELECT ON public.positions TO %I, %I', :'reader', :'domain')
 WHERE to_regclass('public.positions') IS NOT NULL \gexec

-- The migrator's bookkeeping, as src/db/migration-history.ts makes it. It is made here, so that the
-- writer may read it and not write it: a made-up migration would keep the service from starting.
SET LOCAL ROLE :"migrator";
CREATE TABLE IF NOT EXISTS public.processor_migrations (
  version    integer     PRIMARY KEY,
  name       text        NOT NULL,
  checksum   text        NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT now()
);
RESET ROLE;
REVOKE ALL ON public.processor_migrations FROM :"writer", :"reader", :"domain";
GRANT SELECT ON public.processor_migrations TO :"writer", :"reader";

GRANT USAGE ON SCHEMA positions TO :"reader", :"domain";
GRANT SELECT ON ALL TABLES IN SCHEMA positions TO :"reader";
SELECT format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', oid::regprocedure)
  FROM pg_proc WHERE pronamespace = 'positions'::regnamespace \gexec
SELECT format('GRANT EXECUTE ON ROUTINE %s TO %I', oid::regprocedure, :'reader')
  FROM pg_proc
 WHERE pronamespace = 'positions'::regnamespace AND prorettype <> 'trigger'::regtype \gexec

-- As migration 0007 has it, for tables that are there already.
REVOKE ALL ON ALL TABLES IN SCHEMA positions FROM :"domain";
SELECT format('GRANT %s ON positions.%I TO %I', wanted.rights, c.relname, :'domain')
  FROM (VALUES ('devices', 'SELECT'),
               ('outbox', 'SELECT, INSERT, DELETE, UPDATE (enqueued_at)'),
               ('outbox_parked', 'SELECT, INSERT, UPDATE, DELETE'),
               ('domain_seen', 'SELECT, INSERT, UPDATE, DELETE'),
               ('domain_version', 'SELECT, INSERT, UPDATE, DELETE'),
               ('domain_pause', 'SELECT, INSERT, UPDATE, DELETE')) AS wanted (name, rights)
  JOIN pg_class AS c ON c.relname = wanted.name AND c.relnamespace = 'positions'::regnamespace \gexec

-- What the migrator makes later. The one table that a migration puts into public is positions;
-- everything else goes into the schema positions, where the writer has nothing to do.
ALTER DEFAULT PRIVILEGES FOR ROLE :"migrator" REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE :"migrator" IN SCHEMA public
  GRANT SELECT, INSERT ON TABLES TO :"writer";
ALTER DEFAULT PRIVILEGES FOR ROLE :"migrator" IN SCHEMA public
  GRANT SELECT ON TABLES TO :"reader", :"domain";
ALTER DEFAULT PRIVILEGES FOR ROLE :"migrator" IN SCHEMA positions GRANT SELECT ON TABLES TO :"reader";
ALTER DEFAULT PRIVILEGES FOR ROLE :"migrator" IN SCHEMA positions
  GRANT EXECUTE ON ROUTINES TO :"reader";

-- What PostgreSQL and TimescaleDB let every role do in this database, and no role above should:
-- tables of its own, temporary ones too, large objects, and background jobs, which would go on after
-- a stolen password was changed. An application beside processor that needs tables gets a schema of
-- its own (CREATE SCHEMA ... AUTHORIZATION ...), never CREATE on public: the functions of
-- TimescaleDB are there, and one of the same name could be called in their place. Temporary tables:
-- GRANT TEMPORARY ON DATABASE ... TO ...
\if :keep_public
\else
  REVOKE CREATE ON SCHEMA public FROM PUBLIC;
  REVOKE TEMPORARY ON DATABASE :"DBNAME" FROM PUBLIC;
  REVOKE EXECUTE ON FUNCTION pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid),
    pg_catalog.lo_from_bytea(oid, bytea) FROM PUBLIC;
  SELECT format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', p.oid::regprocedure)
    FROM pg_proc AS p
    JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
   WHERE e.extname = 'timescaledb' AND p.proname IN ('add_job', 'alter_job', 'run_job') \gexec
\endif
-- The migrator adds one job beside the retention policy: positions.forget_devices.
SELECT format('GRANT EXECUTE ON ROUTINE %s TO %I', p.oid::regprocedure, :'migrator')
  FROM pg_proc AS p
  JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid
 WHERE e.extname = 'timescaledb' AND p.proname = 'add_job' \gexec
COMMIT;
