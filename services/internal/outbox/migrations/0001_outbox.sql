-- What a service needs to publish what it committed and to take what others published, once each.

-- Every parcel this service produced: its payload is stored here and nowhere else.
CREATE TABLE parcels (
    day       date    NOT NULL, -- onlinesms_day(parcel_id)
    parcel_id uuid    NOT NULL, -- UUIDv7
    tenant_id uuid    NOT NULL,
    subject   text    NOT NULL,
    entries   integer NOT NULL CHECK (entries BETWEEN 1 AND 500),
    payload   bytea   NOT NULL, -- the encoded parcel; personal data in it is sealed
    trace     text    NOT NULL, -- W3C traceparent of the producing span, or empty
    PRIMARY KEY (day, parcel_id)
) PARTITION BY RANGE (day);
ALTER TABLE parcels ALTER COLUMN payload SET STORAGE EXTERNAL; -- sealed bytes do not compress
CALL onlinesms_secure_table('parcels');
CALL onlinesms_partition_by_day('parcels');

-- Parcels that are committed and not known to be published. Rows live for milliseconds: vacuum by count, at full speed.
CREATE TABLE outbox (
    parcel_id     uuid PRIMARY KEY,
    subject       text NOT NULL,
    claimed_until timestamptz -- a relay publishes it again until then; NULL: its producer does
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
CALL onlinesms_secure_table('outbox');

-- Parcels whose effects are committed, by consumer.
CREATE TABLE inbox (
    day       date NOT NULL, -- onlinesms_day(parcel_id)
    consumer  text NOT NULL,
    parcel_id uuid NOT NULL,
    PRIMARY KEY (day, consumer, parcel_id)
) PARTITION BY RANGE (day);
CALL onlinesms_secure_table('inbox');
CALL onlinesms_partition_by_day('inbox');

-- Events that were given up, with everything needed to replay them.
CREATE TABLE dead_letters (
    dead_letter_id uuid PRIMARY KEY,
    durable        text        NOT NULL,
    stream         text        NOT NULL,
    subject        text        NOT NULL,
    sequence       bigint      NOT NULL,
    data           bytea       NOT NULL,
    headers        jsonb       NOT NULL,
    reason         text        NOT NULL,
    attempts       integer     NOT NULL,
    event_time     timestamptz NOT NULL, -- when the stream stored it
    save_time      timestamptz NOT NULL DEFAULT now(),
    replay_time    timestamptz
);
CREATE INDEX dead_letters_waiting ON dead_letters (save_time) WHERE replay_time IS NULL;
CALL onlinesms_secure_table('dead_letters');
