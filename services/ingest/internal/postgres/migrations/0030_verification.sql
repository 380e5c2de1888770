-- OTP sessions. Not partitioned by day: a number and purpose has one open session whatever the day, and a session is
-- deleted 24 hours after its last code expired, in batches, like idempotency keys. Room in the pages keeps the updates of
-- checks beside their rows.
CREATE TABLE verifications (
    tenant_id uuid NOT NULL,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    verification_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'verified', 'cancelled', 'closed')),
    number_index bytea NOT NULL CHECK (length(number_index) = 16), -- blind
    range_index bytea NOT NULL CHECK (length(range_index) = 16), -- blind
    number_sealed bytea NOT NULL,
    purpose text NOT NULL,
    code_mac bytea NOT NULL CHECK (length(code_mac) = 32), -- under the pepper of this version
    pepper_version smallint NOT NULL,
    checks smallint NOT NULL CHECK (checks BETWEEN 0 AND 3), -- counted before a code is compared
    sends smallint NOT NULL CHECK (sends BETWEEN 1 AND 4),
    unsent boolean NOT NULL, -- the latest code did not leave
    suspected boolean NOT NULL, -- of pumping, at the latest send
    create_time timestamptz NOT NULL,
    send_time timestamptz NOT NULL, -- of the latest code
    expire_time timestamptz NOT NULL, -- of the latest code
    message_id uuid, -- that carried the latest code
    PRIMARY KEY (tenant_id, env, verification_id)
) WITH (fillfactor = 80);
ALTER TABLE verifications ALTER COLUMN number_sealed SET STORAGE EXTERNAL; -- sealed bytes do not compress
CREATE UNIQUE INDEX verifications_open ON verifications (tenant_id, env, number_index, purpose) WHERE state = 'open';
CREATE INDEX verifications_expire ON verifications (expire_time);
CALL onlinesms_secure_table('verifications');

-- Limits on codes (verification.Limit): until when what was taken is paid off. A row in the past says nothing.
CREATE TABLE verification_limits (
    tenant_id uuid NOT NULL,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    kind text NOT NULL,
    subject bytea NOT NULL CHECK (length(subject) = 16), -- keyed hash of number or address, zeros for the tenant
    paid_time timestamptz NOT NULL,
    paid_hour timestamptz NOT NULL, -- of paid_time; what is indexed changes once an hour, so that other updates are HOT
    PRIMARY KEY (tenant_id, env, kind, subject)
) WITH (fillfactor = 50);
CREATE INDEX verification_limits_paid ON verification_limits (paid_hour);
CALL onlinesms_secure_table('verification_limits');

-- Codes sent to and verified by a range of numbers in an hour (verification.Budget).
CREATE TABLE verification_ranges (
    tenant_id uuid NOT NULL,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    range_index bytea NOT NULL CHECK (length(range_index) = 16),
    hour timestamptz NOT NULL,
    sent int NOT NULL,
    verified int NOT NULL,
    PRIMARY KEY (tenant_id, env, range_index, hour)
) WITH (fillfactor = 80);
CREATE INDEX verification_ranges_hour ON verification_ranges (hour);
CALL onlinesms_secure_table('verification_ranges');

-- Charges one code to all its limits and counts it to its range, or changes nothing and answers the limit that does not
-- fit, with the time until it does. A function, so that rows every code of a tenant takes are locked for one round trip.
-- GCRA: each charge moves the time until which its row is paid off by `cost`, never more than `period` ahead.
CREATE FUNCTION ingest_charge_code(the_tenant uuid, the_env text, at timestamptz,
        kinds text[], subjects bytea[], costs interval[], periods interval[], the_range bytea)
    RETURNS TABLE (full_kind text, wait interval) LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off -- a plan made for an empty table is kept
AS $$
DECLARE
    charge record;
BEGIN
    INSERT INTO verification_limits (tenant_id, env, kind, subject, paid_time, paid_hour)
        SELECT the_tenant, the_env, u.kind, u.subject, at, date_trunc('hour', at) FROM unnest(kinds, subjects) AS u (kind, subject)
        -- Those that are there are not touched: the conflict check would wait for who updates them, out of turn.
        WHERE NOT EXISTS (SELECT FROM verification_limits l
            WHERE l.tenant_id = the_tenant AND l.env = the_env AND l.kind = u.kind AND l.subject = u.subject)
        ORDER BY u.kind
        ON CONFLICT DO NOTHING;
    -- In the order of the keys, so that two codes never wait for one another.
    FOR charge IN
        SELECT l.kind, greatest(l.paid_time, at) + u.cost - at - u.period AS over
        FROM unnest(kinds, subjects, costs, periods) AS u (kind, subject, cost, period)
        JOIN verification_limits l ON l.tenant_id = the_tenant AND l.env = the_env AND l.kind = u.kind AND l.subject = u.subject
        ORDER BY l.kind FOR UPDATE OF l
    LOOP
        IF charge.over > interval '0' THEN
            full_kind := charge.kind;
            wait := charge.over;
            RETURN NEXT;
            RETURN;
        END IF;
    END LOOP;
    UPDATE verification_limits l
        SET paid_time = greatest(l.paid_time, at) + u.cost, paid_hour = date_trunc('hour', greatest(l.paid_time, at) + u.cost)
        FROM unnest(kinds, subjects, costs) AS u (kind, subject, cost)
        WHERE l.tenant_id = the_tenant AND l.env = the_env AND l.kind = u.kind AND l.subject = u.subject;
    INSERT INTO verification_ranges AS r (tenant_id, env, range_index, hour, sent, verified)
        VALUES (the_tenant, the_env, the_range, date_trunc('hour', at), 1, 0)
        ON CONFLICT (tenant_id, env, range_index, hour) DO UPDATE SET sent = r.sent + 1;
END $$;
REVOKE ALL ON FUNCTION ingest_charge_code FROM PUBLIC;
DO $$ BEGIN EXECUTE format('GRANT EXECUTE ON FUNCTION ingest_charge_code TO %I', onlinesms_role('worker')); END $$;
