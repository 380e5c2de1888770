-- The ledger of consents. Recipients are known by the keyed hash of their number, 16 bytes, in every table here.
CREATE TABLE consent_events (
    tenant_id   uuid        NOT NULL,
    env         text        NOT NULL CHECK (env IN ('live', 'test')),
    recipient   bytea       NOT NULL CHECK (length(recipient) = 16),
    event_id    uuid        NOT NULL, -- UUIDv7; names the receipt
    consent_id  uuid        NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('REQUESTED', 'GIVEN', 'REAFFIRMED', 'REFUSED', 'REVOKED', 'CONTRACT_ENDED', 'INVALIDATED')),
    entity_id   text        NOT NULL,
    purpose     text        NOT NULL,
    channel     text        NOT NULL,
    basis       text        NOT NULL,
    contract    text        NOT NULL, -- empty but for inferred ones
    details     jsonb       NOT NULL, -- consent.Grant
    expire_time timestamptz,
    occur_time  timestamptz NOT NULL, -- when it happened
    record_time timestamptz NOT NULL, -- when the ledger learned it
    actor       text        NOT NULL,
    source      text        NOT NULL,
    reason      text        NOT NULL,
    receipt     bytea       NOT NULL, -- the document
    hash        bytea       NOT NULL, -- SHA-256 of it; the next receipt of the same consent names it
    PRIMARY KEY (tenant_id, env, recipient, event_id)
);
CREATE UNIQUE INDEX consent_events_receipt ON consent_events (tenant_id, env, event_id);
CALL onlinesms_secure_table('consent_events');

-- What the ledger's events come to, one row a consent: what screening reads. It can be made anew from the events.
CREATE TABLE consents (
    tenant_id   uuid  NOT NULL,
    env         text  NOT NULL CHECK (env IN ('live', 'test')),
    recipient   bytea NOT NULL CHECK (length(recipient) = 16),
    entity_id   text  NOT NULL,
    purpose     text  NOT NULL,
    channel     text  NOT NULL,
    basis       text  NOT NULL,
    contract    text  NOT NULL,
    consent_id  uuid  NOT NULL,
    last_kind   text  NOT NULL,
    details     jsonb NOT NULL,
    expire_time timestamptz,
    grant_time  timestamptz,
    end_time    timestamptz,
    hash        bytea NOT NULL, -- of the latest receipt
    PRIMARY KEY (tenant_id, env, recipient, entity_id, purpose, channel, basis, contract)
);
CREATE INDEX consents_contract ON consents (tenant_id, env, entity_id, contract) WHERE contract <> '';
CALL onlinesms_secure_table('consents');

-- Opt-outs; lifted ones stay, so that any past instant can be asked about.
CREATE TABLE opt_outs (
    tenant_id  uuid  NOT NULL,
    env        text  NOT NULL CHECK (env IN ('live', 'test')),
    recipient  bytea NOT NULL CHECK (length(recipient) = 16),
    opt_out_id uuid  NOT NULL,
    scope      text  NOT NULL CHECK (scope IN ('header', 'entity', 'tenant')),
    object_id  text COLLATE "C" NOT NULL, -- empty for the tenant
    source     text  NOT NULL,
    actor      text  NOT NULL,
    reason     text  NOT NULL,
    since      timestamptz NOT NULL,
    lift_time  timestamptz,
    PRIMARY KEY (tenant_id, env, recipient, opt_out_id)
);
CREATE UNIQUE INDEX opt_outs_in_force ON opt_outs (tenant_id, env, recipient, scope, object_id) WHERE lift_time IS NULL;
CALL onlinesms_secure_table('opt_outs');

-- The tenant's own list. Sets of millions stand in the preference room's files.
CREATE TABLE suppressions (
    tenant_id      uuid    NOT NULL,
    env            text    NOT NULL CHECK (env IN ('live', 'test')),
    recipient      bytea   NOT NULL CHECK (length(recipient) = 16),
    all_categories boolean NOT NULL, -- else promotion only
    reason         text    NOT NULL,
    actor          text    NOT NULL,
    create_time    timestamptz NOT NULL,
    expire_time    timestamptz,
    PRIMARY KEY (tenant_id, env, recipient)
);
CALL onlinesms_secure_table('suppressions');

-- Tenants that have, or had, wishes which concern more than promotion: an ended contract, a suppression of everything. The
-- recipients of service, transactional and government messages of all others are not looked up.
CREATE TABLE wishes_beyond_promotion (
    tenant_id uuid NOT NULL,
    env       text NOT NULL CHECK (env IN ('live', 'test')),
    PRIMARY KEY (tenant_id, env)
);
CALL onlinesms_secure_table('wishes_beyond_promotion');

CREATE TABLE consent_policies (
    tenant_id uuid NOT NULL,
    env       text NOT NULL CHECK (env IN ('live', 'test')),
    policy    text NOT NULL CHECK (policy IN ('pref_or_consent', 'consent_required')),
    PRIMARY KEY (tenant_id, env)
);
CALL onlinesms_secure_table('consent_policies');

CREATE TABLE template_purposes (
    tenant_id   uuid NOT NULL,
    env         text NOT NULL CHECK (env IN ('live', 'test')),
    template_id text NOT NULL,
    purpose     text NOT NULL,
    PRIMARY KEY (tenant_id, env, template_id)
);
CALL onlinesms_secure_table('template_purposes');

CREATE TABLE complaints (
    tenant_id     uuid  NOT NULL,
    env           text  NOT NULL CHECK (env IN ('live', 'test')),
    complaint_id  uuid  NOT NULL, -- UUIDv7
    recipient     bytea NOT NULL CHECK (length(recipient) = 16),
    entity_id     text  NOT NULL,
    header        text  NOT NULL,
    reference     text  NOT NULL,
    complain_time timestamptz NOT NULL,
    state         text  NOT NULL CHECK (state IN ('RECORDED', 'UPHELD', 'REJECTED')),
    create_time   timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, env, complaint_id)
);
CREATE UNIQUE INDEX complaints_reference ON complaints (tenant_id, env, entity_id, reference);
CREATE INDEX complaints_recent ON complaints (complain_time) WHERE state <> 'REJECTED';
CALL onlinesms_secure_table('complaints');

-- Files on their way in. Nothing of a file is kept: whole lines are taken at once, next_offset says where to go on.
CREATE TABLE consent_imports (
    tenant_id   uuid   NOT NULL,
    env         text   NOT NULL CHECK (env IN ('live', 'test')),
    import_id   uuid   NOT NULL, -- UUIDv7
    kind        text   NOT NULL CHECK (kind IN ('consents', 'suppressions', 'complaints')),
    state       text   NOT NULL CHECK (state IN ('RUNNING', 'SUCCEEDED')),
    columns     text[] NOT NULL, -- of the header row; empty before it has come
    next_offset bigint NOT NULL,
    total_bytes bigint NOT NULL, -- 0: not said
    lines       bigint NOT NULL,
    recorded    bigint NOT NULL,
    unchanged   bigint NOT NULL,
    problems    bigint NOT NULL,
    create_time timestamptz NOT NULL,
    finish_time timestamptz,
    PRIMARY KEY (tenant_id, env, import_id)
);
CALL onlinesms_secure_table('consent_imports');

CREATE TABLE consent_import_problems (
    tenant_id uuid   NOT NULL,
    import_id uuid   NOT NULL,
    line      bigint NOT NULL,
    number    integer NOT NULL, -- within the line
    col       text   NOT NULL,
    reason    text   NOT NULL,
    detail    text   NOT NULL,
    PRIMARY KEY (tenant_id, import_id, line, number)
);
CALL onlinesms_secure_table('consent_import_problems');

-- The ledger is only ever added to.
DO $$
BEGIN
    EXECUTE format('REVOKE UPDATE, DELETE ON consent_events FROM %I', onlinesms_role('worker'));
END $$;
