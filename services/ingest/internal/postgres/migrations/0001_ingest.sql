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

-- A narrow row for each message: what lists need, and the final state once there is one. Addressing, times and content
-- stand in the parcel, where the id leads.
CREATE TABLE messages (
    day date NOT NULL, -- UTC day of the message id
    tenant_id uuid NOT NULL,
    message_id uuid NOT NULL,
    accept_time timestamptz NOT NULL,
    final_round int, -- both null until the message is final
    final_state smallint, -- type.v1.MessageState
    env text NOT NULL CHECK (env IN ('live', 'test')),
    lane text NOT NULL CHECK (lane IN ('otp', 'interactive', 'bulk')),
    header text NOT NULL,
    template_id text NOT NULL,
    client_reference text NOT NULL,
    PRIMARY KEY (tenant_id, env, message_id, day)
) PARTITION BY RANGE (day);
-- Open messages and the final ones that are rare. 80 is DELIVERED: nearly all end there and leave this index.
CREATE INDEX messages_open ON messages (tenant_id, env, final_state, message_id) WHERE final_state IS NULL OR final_state < 80;
CREATE INDEX messages_reference ON messages (tenant_id, env, client_reference, message_id) WHERE client_reference <> '';
CALL onlinesms_partition_by_day('messages');
CALL onlinesms_secure_table('messages');

-- What happened, append-only: a row for all that one event parcel says of one accepted parcel (message.AppendEvent).
CREATE TABLE message_events (
    day date NOT NULL, -- UTC day of the accepted parcel
    tenant_id uuid NOT NULL,
    parcel_id uuid NOT NULL, -- accepted parcel: a message id with its last 10 bits cleared
    event_id uuid NOT NULL, -- parcel of the event; the accepted parcel itself for what ingest refused
    pack bytea NOT NULL,
    contents bytea, -- sealed texts as rendered (message.AppendContent), for parcels in variable_parcels
    PRIMARY KEY (tenant_id, parcel_id, event_id, day)
) PARTITION BY RANGE (day);
ALTER TABLE message_events ALTER COLUMN contents SET STORAGE EXTERNAL; -- sealed bytes do not compress
CALL onlinesms_partition_by_day('message_events');
CALL onlinesms_secure_table('message_events');

-- Accepted parcels with messages sent by variables: their texts are made by compliance and are kept when it clears them.
-- Of messages sent by text the accepted parcel has it.
CREATE TABLE variable_parcels (
    day date NOT NULL, -- UTC day of the parcel
    tenant_id uuid NOT NULL,
    parcel_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, parcel_id, day)
) PARTITION BY RANGE (day);
CALL onlinesms_partition_by_day('variable_parcels');
CALL onlinesms_secure_table('variable_parcels');

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

-- Sets final states, only upward by (round, rank), for messages of one day. A function for its settings: a day begins
-- with an empty partition, for which the planner likes sequential scans, and a plan kept from then would read ever more.
CREATE FUNCTION ingest_finish(the_day date, tenants uuid[], envs text[], ids uuid[], rounds int[], states smallint[])
    RETURNS void LANGUAGE sql
    SET search_path = pg_catalog, public, pg_temp
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
AS $$
    UPDATE messages m SET final_round = u.round, final_state = u.state
    FROM unnest(tenants, envs, ids, rounds, states) AS u (tenant_id, env, message_id, round, state)
    WHERE m.day = the_day AND m.tenant_id = u.tenant_id AND m.env = u.env AND m.message_id = u.message_id
        AND (m.final_state IS NULL OR (m.final_round, m.final_state) < (u.round, u.state))
$$;
REVOKE ALL ON FUNCTION ingest_finish FROM PUBLIC;
DO $$ BEGIN EXECUTE format('GRANT EXECUTE ON FUNCTION ingest_finish TO %I', onlinesms_role('worker')); END $$;
