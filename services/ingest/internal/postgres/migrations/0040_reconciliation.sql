-- The last gap told of a tenant's day: the same one is told once.
CREATE TABLE reconciliation_gaps (
    tenant_id uuid NOT NULL,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    day date NOT NULL, -- UTC day of acceptance
    accepted bigint NOT NULL,
    standing bigint NOT NULL,
    tell_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, env, day)
);
CALL onlinesms_secure_table('reconciliation_gaps');
