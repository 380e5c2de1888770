-- Scrub runs, each a whole preference file. They are of the platform, not of a tenant: who may not be written to is the same
-- for all. The file itself is in no table: it is on the replicas' volumes, and sealed in the object store.
CREATE TABLE preference_runs (
    run_id      uuid PRIMARY KEY, -- UUIDv7
    provider    text        NOT NULL,
    reference   text        NOT NULL,
    coverage    text        NOT NULL CHECK (coverage IN ('listed', 'all')),
    scrub_time  timestamptz NOT NULL,
    expire_time timestamptz NOT NULL, -- 23:59:59 IST of that day
    numbers     bigint      NOT NULL,
    suppressed  bigint      NOT NULL,
    lines       bigint      NOT NULL,
    object      text        NOT NULL, -- in the object store; empty when it was removed
    actor       text        NOT NULL,
    import_time timestamptz NOT NULL
);
CREATE INDEX preference_runs_by_import ON preference_runs (import_time DESC, run_id DESC);
CALL onlinesms_secure_table('preference_runs');

-- Changes between two runs, in the order in which every replica makes them. The numbers are sealed.
CREATE TABLE preference_changes (
    run_id      uuid        NOT NULL REFERENCES preference_runs,
    sequence    bigint      NOT NULL, -- of the first change, from 1
    changes     integer     NOT NULL CHECK (changes > 0),
    sealed      bytea       NOT NULL,
    actor       text        NOT NULL,
    change_time timestamptz NOT NULL,
    PRIMARY KEY (run_id, sequence)
);
ALTER TABLE preference_changes ALTER COLUMN sealed SET STORAGE EXTERNAL;
CALL onlinesms_secure_table('preference_changes');

-- What operators said of messages lately: 650, 652. The number is with the message, sealed.
CREATE TABLE preference_answers (
    answer_id   uuid PRIMARY KEY, -- UUIDv7
    tenant_id   uuid        NOT NULL,
    env         text        NOT NULL CHECK (env IN ('live', 'test')),
    message_id  uuid        NOT NULL,
    code        smallint    NOT NULL CHECK (code IN (650, 652)),
    answer_time timestamptz NOT NULL
);
CALL onlinesms_secure_table('preference_answers');
