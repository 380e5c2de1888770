-- Kill switches. They have a version of their own: putting one on waits for no import of the same tenant.
CREATE TABLE registry_stop_versions (
    tenant_id uuid PRIMARY KEY,
    version   bigint NOT NULL
);
CALL onlinesms_secure_table('registry_stop_versions');

CREATE TABLE registry_stops (
    tenant_id uuid NOT NULL,
    scope     text NOT NULL CHECK (scope IN ('tenant', 'entity', 'header', 'template')),
    object_id text COLLATE "C" NOT NULL, -- empty for the tenant
    reason    text NOT NULL,
    actor     text NOT NULL,
    stop_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, scope, object_id)
);
CALL onlinesms_secure_table('registry_stops');

-- Reminders that were raised: each once.
CREATE TABLE registry_reminders (
    tenant_id uuid NOT NULL,
    kind      text NOT NULL,
    object_id text COLLATE "C" NOT NULL,
    reason    text NOT NULL,
    due_time  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, kind, object_id, reason, due_time)
);
CALL onlinesms_secure_table('registry_reminders');
