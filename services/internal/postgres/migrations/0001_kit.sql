-- What every database of a service starts with: roles by kind, row-level security, partitions by day.

-- The role of a kind (owner, worker, tenant) of this database's service. The service is a setting of the database, so
-- that a clone under another name has the same roles.
CREATE FUNCTION onlinesms_role(kind text) RETURNS text LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT coalesce(nullif(current_setting('onlinesms.service', true), ''), current_database()) || '_' || kind $$;

-- The UTC day of a UUIDv7's time: the partition of what it keys. postgres.Day in Go answers the same.
CREATE FUNCTION onlinesms_day(id uuid) RETURNS date LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT date '1970-01-01' + (('x' || substr(encode(uuid_send(id), 'hex'), 1, 12))::bit(48)::bigint / 86400000)::int $$;

-- Makes row-level security of a table enabled and forced: the worker role reads and writes all rows, the tenant role
-- reads the rows of the tenant set for its transaction (none without it). A table without tenant_id is the worker's
-- alone.
CREATE PROCEDURE onlinesms_secure_table(target regclass) LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    worker text := onlinesms_role('worker');
    tenant text := onlinesms_role('tenant');
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', target);
    EXECUTE format('REVOKE ALL ON %s FROM PUBLIC', target);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO %I', target, worker);
    EXECUTE format('CREATE POLICY worker ON %s TO %I USING (true) WITH CHECK (true)', target, worker);
    IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = target AND attname = 'tenant_id' AND NOT attisdropped) THEN
        EXECUTE format('GRANT SELECT ON %s TO %I', target, tenant);
        EXECUTE format('CREATE POLICY tenant ON %s FOR SELECT TO %I USING '
            '(tenant_id = nullif(current_setting(''onlinesms.tenant'', true), '''')::uuid)', target, tenant);
    END IF;
END $$;

CREATE TABLE onlinesms_partitioned (target regclass PRIMARY KEY);

-- Makes the partitions of every registered table for each day of a range, both ends included. A partition is built
-- aside and attached: that takes SHARE UPDATE EXCLUSIVE, which lets writers of the table go on, where CREATE TABLE …
-- PARTITION OF would stop them and could deadlock with them.
CREATE FUNCTION onlinesms_ensure_partitions(from_day date, to_day date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    missing record;
BEGIN
    IF to_day - from_day NOT BETWEEN 0 AND 400 THEN
        RAISE EXCEPTION 'onlinesms_ensure_partitions: % to % is not a range of at most 400 days', from_day, to_day;
    END IF;
    -- Asked before the lock: the hourly call of every replica finds nothing to do and waits for nobody.
    IF NOT EXISTS (SELECT FROM onlinesms_missing_partitions(from_day, to_day)) THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('onlinesms_ensure_partitions'));
    FOR missing IN SELECT * FROM onlinesms_missing_partitions(from_day, to_day) LOOP
        EXECUTE format('CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING INDEXES EXCLUDING IDENTITY)', missing.partition, missing.target);
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', missing.partition);
        EXECUTE format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L)',
            missing.target, missing.partition, missing.day, missing.day + 1);
    END LOOP;
END $$;

-- The partition of a table for a day, as it is written in SQL: <table>_YYYYMMDD in the table's schema.
CREATE FUNCTION onlinesms_partition_name(target regclass, day date) RETURNS text LANGUAGE sql STABLE
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT format('%I.%I', n.nspname, c.relname || to_char(day, '_YYYYMMDD'))
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = target $$;

CREATE FUNCTION onlinesms_missing_partitions(from_day date, to_day date)
    RETURNS TABLE (target regclass, day date, partition text) LANGUAGE sql VOLATILE -- sees what others committed since
    SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT p.target, d::date, onlinesms_partition_name(p.target, d::date)
    FROM onlinesms_partitioned p, generate_series(from_day::timestamp, to_day::timestamp, interval '1 day') d
    WHERE to_regclass(onlinesms_partition_name(p.target, d::date)) IS NULL
    ORDER BY p.target, d
$$;

-- Registers a table that is PARTITION BY RANGE (day) with a date column `day`, and makes its first partitions.
CREATE PROCEDURE onlinesms_partition_by_day(target regclass) LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    today date := (now() AT TIME ZONE 'UTC')::date;
BEGIN
    INSERT INTO onlinesms_partitioned VALUES (target) ON CONFLICT DO NOTHING;
    PERFORM onlinesms_ensure_partitions(today - 1, today + 3);
END $$;

-- Drops the partition of a past day; false when there is none. It waits at most 2 s for statements that use the table
-- (while it waits, new ones wait behind it) and then fails with lock_not_available: the caller tries again later.
CREATE FUNCTION onlinesms_drop_partition(target regclass, day date) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public, pg_temp
    SET lock_timeout = '2s'
AS $$
DECLARE
    partition text := onlinesms_partition_name(target, day);
BEGIN
    IF NOT EXISTS (SELECT FROM onlinesms_partitioned p WHERE p.target = onlinesms_drop_partition.target) THEN
        RAISE EXCEPTION 'onlinesms_drop_partition: % is not partitioned by day', target;
    END IF;
    IF day >= (now() AT TIME ZONE 'UTC')::date THEN
        RAISE EXCEPTION 'onlinesms_drop_partition: % is not over', day;
    END IF;
    IF to_regclass(partition) IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('DROP TABLE %s', partition);
    RETURN true;
END $$;

-- Functions are executable by all unless it is taken back.
REVOKE ALL ON FUNCTION onlinesms_ensure_partitions(date, date), onlinesms_drop_partition(regclass, date),
    onlinesms_missing_partitions(date, date) FROM PUBLIC;

DO $$
DECLARE
    worker text := onlinesms_role('worker');
    tenant text := onlinesms_role('tenant');
BEGIN
    EXECUTE format('GRANT EXECUTE ON FUNCTION onlinesms_ensure_partitions(date, date), onlinesms_drop_partition(regclass, date) TO %I', worker);
    EXECUTE format('GRANT SELECT ON schema_migrations TO %I, %I', worker, tenant);
END $$;
