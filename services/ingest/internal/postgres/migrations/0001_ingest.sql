-- Tenants and their keys. Names of keys (kid) are public; of a secret only the peppered HMAC is here.
CREATE TABLE tenants (
    tenant_id uuid PRIMARY KEY,
    name text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'closed')),
    create_time timestamptz NOT NULL DEFAULT now()
);
CALL onlinesms_secure_table('tenants');

CREATE TABLE api_keys (
    kid text PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    pepper_version smallint NOT NULL,
    secret_mac bytea NOT NULL CHECK (length(secret_mac) = 32),
    scopes text[] NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'revoked')),
    create_time timestamptz NOT NULL DEFAULT now(),
    expire_time timestamptz NOT NULL
);
CREATE INDEX api_keys_tenant ON api_keys (tenant_id, env);
CALL onlinesms_secure_table('api_keys');

-- Data keys, wrapped by the deployment key of their environment. Deleting a row erases what it sealed, for good.
CREATE TABLE data_keys (
    key_id bigint PRIMARY KEY, -- the 64 bits of the id, whatever their sign
    tenant_id uuid NOT NULL,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    day date NOT NULL, -- in IST
    class text NOT NULL,
    wrapped bytea NOT NULL,
    create_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, env, day, class)
);
CALL onlinesms_secure_table('data_keys');

-- A row for each accepted parcel: where its messages stand, two bytes each (message.Standings). All else that a list or
-- a look-up shows is in the parcel's payload, under the same id. No index holds or depends on what changes: updates
-- stay on the page (HOT).
CREATE TABLE accepted_parcels (
    day date NOT NULL, -- UTC day of the parcel
    tenant_id uuid NOT NULL,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    parcel_id uuid NOT NULL,
    lane text NOT NULL CHECK (lane IN ('otp', 'interactive', 'bulk')),
    accept_time timestamptz NOT NULL,
    messages int NOT NULL CHECK (messages BETWEEN 1 AND 500),
    by_variables boolean NOT NULL, -- some have variables: their texts are made by compliance and kept when it clears them
    states bigint NOT NULL, -- those that occur in standings (message.StateSet)
    standings bytea NOT NULL CHECK (length(standings) = 2 * messages),
    PRIMARY KEY (tenant_id, env, parcel_id, day)
) PARTITION BY RANGE (day);
CALL onlinesms_partition_by_day('accepted_parcels');
CALL onlinesms_secure_table('accepted_parcels');

-- A row for each message, as standings say: for operators and tools, not for the service.
CREATE VIEW message_states WITH (security_invoker = true) AS
    SELECT p.day, p.tenant_id, p.env, p.lane, p.accept_time, p.states AS parcel_states,
        (left(p.parcel_id::text, 32) || lpad(to_hex(('x' || right(p.parcel_id::text, 4))::bit(16)::int | i), 4, '0'))::uuid AS message_id,
        get_byte(p.standings, 2 * i) * 4 + get_byte(p.standings, 2 * i + 1) / 64 AS round,
        get_byte(p.standings, 2 * i + 1) % 64 * 2 AS state -- type.v1.MessageState
    FROM accepted_parcels p CROSS JOIN LATERAL generate_series(0, p.messages - 1) AS i;
DO $$ BEGIN EXECUTE format('GRANT SELECT ON message_states TO %I', onlinesms_role('worker')); END $$;

-- Sets standings, of which the caller holds the rows locked. A function for its settings: a day begins with an empty
-- partition, for which the planner likes hash joins, and a plan kept from then would read ever more.
CREATE FUNCTION ingest_set_standings(days date[], tenants uuid[], envs text[], parcels uuid[], states bigint[], standings bytea[])
    RETURNS void LANGUAGE plpgsql
    SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$ BEGIN
    UPDATE accepted_parcels p SET states = u.states, standings = u.standings
    FROM unnest(ingest_set_standings.days, tenants, envs, parcels, ingest_set_standings.states, ingest_set_standings.standings)
        AS u (day, tenant_id, env, parcel_id, states, standings)
    WHERE p.day = u.day AND p.tenant_id = u.tenant_id AND p.env = u.env AND p.parcel_id = u.parcel_id;
END $$;
REVOKE ALL ON FUNCTION ingest_set_standings FROM PUBLIC;
DO $$ BEGIN EXECUTE format('GRANT EXECUTE ON FUNCTION ingest_set_standings TO %I', onlinesms_role('worker')); END $$;

-- The messages that have a reference of their sender, to find them by it.
CREATE TABLE message_references (
    day date NOT NULL, -- UTC day of the message
    tenant_id uuid NOT NULL,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    client_reference text NOT NULL,
    message_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, env, client_reference, message_id, day)
) PARTITION BY RANGE (day);
CALL onlinesms_partition_by_day('message_references');
CALL onlinesms_secure_table('message_references');

-- What happened, append-only: a row for all that one event parcel says of one accepted parcel (message.AppendEvent).
CREATE TABLE message_events (
    day date NOT NULL, -- UTC day of the accepted parcel
    tenant_id uuid NOT NULL,
    parcel_id uuid NOT NULL, -- accepted parcel: a message id with its last 10 bits cleared
    event_id uuid NOT NULL, -- parcel of the event; the accepted parcel itself for what ingest refused
    pack bytea NOT NULL,
    contents bytea, -- sealed texts as rendered (message.AppendContent), for parcels with by_variables
    PRIMARY KEY (tenant_id, parcel_id, event_id, day)
) PARTITION BY RANGE (day);
ALTER TABLE message_events ALTER COLUMN contents SET STORAGE EXTERNAL; -- sealed bytes do not compress
CALL onlinesms_partition_by_day('message_events');
CALL onlinesms_secure_table('message_events');

-- Keys and answers of the last 24 hours. Not partitioned: the key must be unique whatever the day.
CREATE TABLE idempotency (
    tenant_id uuid NOT NULL,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    key_hash bytea NOT NULL CHECK (length(key_hash) = 16),
    request_hash bytea NOT NULL CHECK (length(request_hash) = 16),
    answer bytea NOT NULL, -- message.AppendAnswer
    expire_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, env, key_hash)
);
CREATE INDEX idempotency_expire ON idempotency (expire_time);
CALL onlinesms_secure_table('idempotency');
