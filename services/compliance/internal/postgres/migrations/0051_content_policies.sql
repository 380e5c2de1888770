-- What tenants do with personal and secret data in texts, beside the house's default. One row a tenant; versions only grow.
CREATE TABLE content_policies (
    tenant_id   uuid PRIMARY KEY,
    version     bigint      NOT NULL,
    rules       jsonb       NOT NULL, -- in order: [{kind, categories, action, until}]
    actor       text        NOT NULL,
    update_time timestamptz NOT NULL
);
CALL onlinesms_secure_table('content_policies');
