-- Files on their way into the registry.
CREATE TABLE registry_imports (
    tenant_id   uuid   NOT NULL,
    import_id   uuid   NOT NULL, -- UUIDv7
    state       text   NOT NULL CHECK (state IN ('UPLOADING', 'QUEUED', 'RUNNING', 'SUCCEEDED', 'FAILED')),
    mode        text   NOT NULL CHECK (mode IN ('import', 'compare')),
    actor       text   NOT NULL,
    portal      text   NOT NULL,
    entity_id   text   NOT NULL,
    kind        text   NOT NULL,
    size        bigint NOT NULL, -- bytes uploaded
    percent     integer NOT NULL DEFAULT 0,
    done        bigint NOT NULL DEFAULT 0,
    lines       bigint NOT NULL DEFAULT 0,
    created     bigint NOT NULL DEFAULT 0,
    changed     bigint NOT NULL DEFAULT 0,
    unchanged   bigint NOT NULL DEFAULT 0,
    problems    bigint NOT NULL DEFAULT 0,
    reason      text   NOT NULL DEFAULT '',
    detail      text   NOT NULL DEFAULT '',
    holder      uuid,        -- of the claim; of a RUNNING one
    lease_until timestamptz, -- of the claim
    attempts    integer NOT NULL DEFAULT 0,
    create_time timestamptz NOT NULL,
    touch_time  timestamptz NOT NULL, -- of the last part
    finish_time timestamptz,
    PRIMARY KEY (tenant_id, import_id)
);
CREATE INDEX registry_imports_open ON registry_imports (state, create_time) WHERE state IN ('UPLOADING', 'QUEUED', 'RUNNING');
CALL onlinesms_secure_table('registry_imports');

-- The bytes of a file until its import has ended.
CREATE TABLE registry_import_parts (
    tenant_id uuid   NOT NULL,
    import_id uuid   NOT NULL,
    start     bigint NOT NULL, -- offset in the file
    content   bytea  NOT NULL,
    PRIMARY KEY (tenant_id, import_id, start)
);
ALTER TABLE registry_import_parts ALTER COLUMN content SET STORAGE EXTERNAL;
CALL onlinesms_secure_table('registry_import_parts');

CREATE TABLE registry_import_problems (
    tenant_id uuid    NOT NULL,
    import_id uuid    NOT NULL,
    number    integer NOT NULL, -- order
    line      integer NOT NULL,
    col       text    NOT NULL,
    reason    text    NOT NULL,
    detail    text    NOT NULL,
    object    text    NOT NULL,
    PRIMARY KEY (tenant_id, import_id, number)
);
CALL onlinesms_secure_table('registry_import_problems');
