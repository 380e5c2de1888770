-- Webhooks: where tenants want their events sent, and what was sent. See internal/webhook/doc.go.

-- An endpoint. Secrets are sealed with the tenant's lasting key: 32 bytes of HMAC key, 32 of ed25519 seed.
CREATE TABLE webhook_endpoints (
    endpoint_id     uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL,
    env             text NOT NULL CHECK (env IN ('live', 'test')),
    url             text NOT NULL,
    description     text NOT NULL,
    event_types     text[] NOT NULL, -- sorted; empty: all
    ed25519         boolean NOT NULL,
    status          text NOT NULL CHECK (status IN ('PENDING', 'ACTIVE', 'DISABLED')),
    disable_reason  text NOT NULL DEFAULT '' CHECK (disable_reason IN ('', 'BY_CALLER', 'GONE', 'FAILING')),
    secret          bytea NOT NULL,
    previous_secret bytea,
    previous_until  timestamptz,
    public_key      bytea NOT NULL,
    previous_public bytea,
    create_time     timestamptz NOT NULL,
    verify_time     timestamptz,
    failing_since   timestamptz, -- NULL while it works
    warned          boolean NOT NULL DEFAULT false
);
CREATE INDEX webhook_endpoints_tenant ON webhook_endpoints (tenant_id, env, create_time, endpoint_id);
CALL onlinesms_secure_table('webhook_endpoints');

-- Raised with every change of an endpoint, in the same transaction: what replicas remember of endpoints is of a version.
CREATE TABLE webhook_version (one boolean PRIMARY KEY DEFAULT true CHECK (one), version bigint NOT NULL);
INSERT INTO webhook_version VALUES (true, 1);
CALL onlinesms_secure_table('webhook_version');

-- One event for one endpoint. due_at is also the lease of who is sending it: set ahead when it is taken, so that another
-- replica takes what a crashed one held. day is that of event_id, which begins with its parcel's time.
CREATE TABLE webhook_deliveries (
    day          date        NOT NULL,
    endpoint_id  uuid        NOT NULL,
    event_id     uuid        NOT NULL,
    tenant_id    uuid        NOT NULL,
    env          text        NOT NULL,
    event_type   text        NOT NULL,
    message_id   uuid        NOT NULL,
    body         bytea       NOT NULL, -- JSON as it is sent: without text and number
    state        smallint    NOT NULL DEFAULT 0, -- 0 pending, 1 delivered, 2 given up
    attempts     smallint    NOT NULL DEFAULT 0,
    replayed     smallint    NOT NULL DEFAULT 0, -- attempts before the last replay
    due_at       timestamptz NOT NULL,
    http_status  smallint    NOT NULL DEFAULT 0,
    error        text        NOT NULL DEFAULT '',
    create_time  timestamptz NOT NULL,
    attempt_time timestamptz,
    PRIMARY KEY (endpoint_id, event_id, day)
) PARTITION BY RANGE (day);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at) WHERE state = 0;
CREATE INDEX webhook_deliveries_tenant ON webhook_deliveries (tenant_id, event_id);
CREATE INDEX webhook_deliveries_message ON webhook_deliveries (message_id);
CALL onlinesms_secure_table('webhook_deliveries');
CALL onlinesms_partition_by_day('webhook_deliveries');
