-- What all replicas share of GCRA limits: when a limit has regained all its burst. Not logged: after a crash everybody
-- begins with a full burst.
CREATE UNLOGGED TABLE limit_cells (
    tenant_id uuid NOT NULL,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    name text NOT NULL,
    subject bytea NOT NULL,
    full_ns bigint NOT NULL, -- Unix nanoseconds of this server's clock
    PRIMARY KEY (tenant_id, env, name, subject)
) WITH (fillfactor = 50);
CREATE INDEX limit_cells_full ON limit_cells USING brin (full_ns) WITH (autosummarize = on);
CALL onlinesms_secure_table('limit_cells');

-- Grants every ask its need, and up to its wish, or none of them when one cannot have its need. Asks come sorted and
-- none twice. The time is taken under the lock: replicas' own clocks do not matter.
CREATE FUNCTION ingest_lease(tenant uuid, the_env text, names text[], subjects bytea[], every bigint[], bursts bigint[],
        needs bigint[], wishes bigint[])
    RETURNS TABLE (granted bigint, free bigint, wait_ns bigint) LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    moment bigint;
    one bigint;
    fulls bigint[];
    frees bigint[];
    possible boolean := true;
BEGIN
    FOR i IN 1 .. cardinality(names) LOOP
        INSERT INTO limit_cells AS c (tenant_id, env, name, subject, full_ns) VALUES (tenant, the_env, names[i], subjects[i], 0)
            ON CONFLICT (tenant_id, env, name, subject) DO UPDATE SET full_ns = c.full_ns -- locks it
            RETURNING c.full_ns INTO one;
        fulls[i] := one;
    END LOOP;
    moment := (extract(epoch FROM clock_timestamp()) * 1000000000)::bigint;
    FOR i IN 1 .. cardinality(names) LOOP
        fulls[i] := greatest(fulls[i], moment);
        frees[i] := greatest(0, (bursts[i] * every[i] - (fulls[i] - moment)) / every[i]);
        possible := possible AND frees[i] >= needs[i];
    END LOOP;
    FOR i IN 1 .. cardinality(names) LOOP
        granted := CASE WHEN possible THEN least(wishes[i], frees[i]) ELSE 0 END;
        free := frees[i] - granted;
        wait_ns := CASE WHEN frees[i] >= needs[i] THEN 0
            ELSE greatest(1, needs[i] * every[i] - (bursts[i] * every[i] - (fulls[i] - moment))) END;
        IF granted > 0 THEN
            UPDATE limit_cells c SET full_ns = fulls[i] + granted * every[i]
                WHERE c.tenant_id = tenant AND c.env = the_env AND c.name = names[i] AND c.subject = subjects[i];
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;
REVOKE ALL ON FUNCTION ingest_lease FROM PUBLIC;
DO $$ BEGIN EXECUTE format('GRANT EXECUTE ON FUNCTION ingest_lease TO %I', onlinesms_role('worker')); END $$;
