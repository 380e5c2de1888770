-- Segments that may have been submitted and whose answer never came, for receipts whose id we were never told: such a
-- receipt joins the only segment in doubt of its route, header and recipient.
CREATE TABLE doubts (
    day             date        NOT NULL, -- UTC day of recorded_at
    message_id      uuid        NOT NULL,
    segment         smallint    NOT NULL, -- 1-based
    segments        smallint    NOT NULL,
    tenant_id       uuid        NOT NULL,
    cleared_id      uuid        NOT NULL, -- the ClearedParcel it came in, by which compliance finds it again
    env             text        NOT NULL,
    route           text        NOT NULL,
    header          text        NOT NULL, -- upper case, without what operators put around it
    recipient_index bytea       NOT NULL, -- keyed hash of the number, of the environment: a receipt names no tenant
    round           int         NOT NULL,
    lane            smallint    NOT NULL,
    data_coding     smallint    NOT NULL,
    submitted_at    timestamptz NOT NULL, -- not before; -infinity where a crash took the time
    recorded_at     timestamptz NOT NULL,
    PRIMARY KEY (message_id, segment, day)
) PARTITION BY RANGE (day);
CREATE INDEX doubts_recipient ON doubts (recipient_index, header, route);
CREATE INDEX doubts_recorded ON doubts (recorded_at);
CALL onlinesms_secure_table('doubts');
CALL onlinesms_partition_by_day('doubts');

-- How the operator's id came to be known: empty, by its answer; recipient, by a receipt for the only segment in doubt.
ALTER TABLE submissions ADD COLUMN matched_by text NOT NULL DEFAULT '';

-- Whom a parked receipt is about; settled_at is when no answer to a submit before it can come any more.
ALTER TABLE parked_receipts
    ADD COLUMN header          text        NOT NULL DEFAULT '',
    ADD COLUMN recipient_index bytea       NOT NULL DEFAULT '',
    ADD COLUMN settled_at      timestamptz NOT NULL DEFAULT '9999-12-31';
CREATE INDEX parked_receipts_settled ON parked_receipts (settled_at);
CREATE INDEX parked_receipts_recipient ON parked_receipts (recipient_index, header, route);
