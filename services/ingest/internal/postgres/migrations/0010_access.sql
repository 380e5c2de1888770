-- What a key's tenant knows of it and decides about it. MAC and scopes are above (0001).
ALTER TABLE api_keys
    ADD COLUMN name text NOT NULL DEFAULT '',
    ADD COLUMN allowed_addresses cidr[] NOT NULL DEFAULT '{}', -- none: every address
    ADD COLUMN certificate_sha256 bytea CHECK (length(certificate_sha256) = 32), -- null: not bound
    ADD COLUMN successor text, -- kid
    ADD COLUMN revoke_reason text NOT NULL DEFAULT '',
    ADD COLUMN revoke_time timestamptz,
    ADD COLUMN last_use_time timestamptz, -- to the minute
    ADD COLUMN last_use_address inet,
    ADD COLUMN warned smallint NOT NULL DEFAULT 1000; -- smallest number of days before expiry that was alerted
CREATE INDEX api_keys_list ON api_keys (tenant_id, env, create_time, kid);
DROP INDEX api_keys_tenant;
CREATE INDEX api_keys_expire ON api_keys (expire_time) WHERE status = 'active' AND successor IS NULL;

-- What a tenant sets for one environment; no row: nothing set. A rate of 0 is the platform's default.
CREATE TABLE tenant_settings (
    tenant_id uuid NOT NULL REFERENCES tenants,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    allowed_addresses cidr[] NOT NULL DEFAULT '{}',
    requests_per_second float8 NOT NULL DEFAULT 0,
    request_burst int NOT NULL DEFAULT 0,
    messages_per_second float8 NOT NULL DEFAULT 0,
    message_burst int NOT NULL DEFAULT 0,
    recipient_per_hour int NOT NULL DEFAULT 0,
    template_per_second float8 NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, env)
);
CALL onlinesms_secure_table('tenant_settings');
