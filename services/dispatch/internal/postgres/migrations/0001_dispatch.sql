-- What dispatch keeps. The states are explained in internal/delivery/doc.go.
--
-- Keys begin with the column that tells rows apart. Began they with day or route, the planner, which has no statistics of
-- a day's new partition, would take those for selective and walk a whole partition instead of looking up each id.

-- A process that is alive. Its row's existence is the fence: see internal/delivery, "Who may submit".
CREATE TABLE replicas (
    replica    uuid PRIMARY KEY,
    joined_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL
);
CALL onlinesms_secure_table('replicas');

-- A bind of a route. The epoch grows with each holder and stands in every intent.
CREATE TABLE bind_leases (
    route   text   NOT NULL,
    bind_no int    NOT NULL,
    holder  uuid,
    epoch   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (route, bind_no)
);
CALL onlinesms_secure_table('bind_leases');

-- Cleared parcels with messages that have no result yet; a row is deleted with the last one's. day is that of parcel_id.
CREATE TABLE queue (
    day       date        NOT NULL,
    parcel_id uuid        NOT NULL,
    tenant_id uuid        NOT NULL,
    env       text        NOT NULL,
    lane      smallint    NOT NULL, -- 0 otp, 1 interactive, 2 bulk
    route     text        NOT NULL, -- empty: no route of this environment is configured
    owner     uuid,                 -- replica; NULL: for whoever holds a bind of the route
    trace     text        NOT NULL,
    payload   bytea       NOT NULL, -- compliance.v1.ClearedParcel; content in it is sealed
    taken_at  timestamptz NOT NULL DEFAULT clock_timestamp(), -- or disowned at
    PRIMARY KEY (parcel_id, day)
) PARTITION BY RANGE (day);
CREATE INDEX queue_unowned ON queue (lane, taken_at) WHERE owner IS NULL;
CALL onlinesms_secure_table('queue');
CALL onlinesms_partition_by_day('queue');

-- What may have been submitted: committed before the first octet is written.
CREATE TABLE intents (
    day       date   NOT NULL, -- of parcel_id
    parcel_id uuid   NOT NULL,
    intent_id uuid   NOT NULL,
    tenant_id uuid   NOT NULL,
    route     text   NOT NULL,
    bind_no   int    NOT NULL,
    epoch     bigint NOT NULL,
    indexes   bytea  NOT NULL, -- positions in the parcel, 16 bits each, big endian
    PRIMARY KEY (parcel_id, intent_id, day)
) PARTITION BY RANGE (day);
CALL onlinesms_secure_table('intents');
CALL onlinesms_partition_by_day('intents');

-- What is known of parcels that still stand in queue; those that were finished at once have no rows here.
CREATE TABLE results (
    day       date     NOT NULL, -- of parcel_id
    parcel_id uuid     NOT NULL,
    record_id uuid     NOT NULL, -- one a transaction
    kind      smallint NOT NULL, -- delivery.Kind
    tenant_id uuid     NOT NULL,
    indexes   bytea    NOT NULL,
    PRIMARY KEY (parcel_id, record_id, kind, day)
) PARTITION BY RANGE (day);
CALL onlinesms_secure_table('results');
CALL onlinesms_partition_by_day('results');

-- Segments an operator took, for joining its receipts. An operator may use an id again: the latest submit counts, and
-- therefore no key is unique.
CREATE TABLE submissions (
    day          date        NOT NULL, -- UTC day of submitted_at
    route        text        NOT NULL,
    env          text        NOT NULL,
    submitted_at timestamptz NOT NULL, -- the earliest answer's time among those recorded together
    operator_id  text        NOT NULL, -- canonical for the route
    tenant_id    uuid        NOT NULL,
    message_id   uuid        NOT NULL,
    round        int         NOT NULL,
    segment      smallint    NOT NULL, -- 1-based
    segments     smallint    NOT NULL,
    lane         smallint    NOT NULL,
    data_coding  smallint    NOT NULL  -- SMPP: 0 GSM 7-bit, 8 UCS-2
) PARTITION BY RANGE (day);
CREATE INDEX submissions_operator_id ON submissions (operator_id, route);
CALL onlinesms_secure_table('submissions');
CALL onlinesms_partition_by_day('submissions');

-- Receipts that were joined: every state an operator named for a segment, once. No receipt without its PDU's hash.
CREATE TABLE receipts (
    day         date        NOT NULL, -- that of the submission
    tenant_id   uuid        NOT NULL,
    message_id  uuid        NOT NULL,
    segment     smallint    NOT NULL,
    state       smallint    NOT NULL, -- SMPP message_state
    code        text        NOT NULL, -- err as the operator wrote it
    done_at     timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    pdu_sha256  bytea       NOT NULL,
    PRIMARY KEY (message_id, segment, state, day)
) PARTITION BY RANGE (day);
CALL onlinesms_secure_table('receipts');
CALL onlinesms_partition_by_day('receipts');

-- Receipts whose submission is not known (yet): they came first, or belong to a submit whose answer was lost.
CREATE TABLE parked_receipts (
    day         date        NOT NULL, -- UTC day of received_at
    route       text        NOT NULL,
    operator_id text        NOT NULL, -- empty when the receipt names none
    state       smallint    NOT NULL,
    pdu_sha256  bytea       NOT NULL,
    code        text        NOT NULL,
    reason      text        NOT NULL,
    done_at     timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (operator_id, route, state, pdu_sha256, day)
) PARTITION BY RANGE (day);
CREATE INDEX parked_receipts_received ON parked_receipts (received_at);
CALL onlinesms_secure_table('parked_receipts');
CALL onlinesms_partition_by_day('parked_receipts');
