-- Decisions, a row for all messages decided together: a message's id names its accepted parcel and its index there.
CREATE TABLE decisions (
    day         date        NOT NULL, -- onlinesms_day(parcel_id)
    tenant_id   uuid        NOT NULL,
    parcel_id   uuid        NOT NULL, -- the accepted parcel
    decision_id uuid        NOT NULL, -- UUIDv7
    env         text        NOT NULL CHECK (env IN ('live', 'test')),
    decide_time timestamptz NOT NULL,
    rule_pack   text        NOT NULL,
    entries     bytea       NOT NULL, -- see entries.go
    PRIMARY KEY (tenant_id, day, parcel_id, decision_id)
) PARTITION BY RANGE (day);
CALL onlinesms_secure_table('decisions');
CALL onlinesms_partition_by_day('decisions');

-- Messages that wait for a time. Rows go when they are released: vacuum by count, at full speed.
CREATE TABLE holds (
    hold_id        uuid PRIMARY KEY, -- UUIDv7
    tenant_id      uuid        NOT NULL,
    env            text        NOT NULL CHECK (env IN ('live', 'test')),
    lane           text        NOT NULL CHECK (lane IN ('otp', 'interactive', 'bulk')),
    due_time       timestamptz NOT NULL,
    round          integer     NOT NULL,
    messages       integer     NOT NULL CHECK (messages BETWEEN 1 AND 500),
    parcel_id      uuid        NOT NULL, -- the HeldParcel that announced it
    correlation_id uuid        NOT NULL,
    trace          text        NOT NULL,
    payload        bytea       NOT NULL  -- ingest.v1.AcceptedParcel of the messages; their content is sealed
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE holds ALTER COLUMN payload SET STORAGE EXTERNAL;
CREATE INDEX holds_due ON holds (lane, due_time, hold_id);
CALL onlinesms_secure_table('holds');
