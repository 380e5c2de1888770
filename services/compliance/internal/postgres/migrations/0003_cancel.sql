-- Messages whose sender withdrew them, by the day of the request: what stops them when they are decided, or given back
-- by dispatch, after it. told: their MessagesCancelled is out.
CREATE TABLE cancellations (
    day         date    NOT NULL, -- UTC
    tenant_id   uuid    NOT NULL,
    env         text    NOT NULL CHECK (env IN ('live', 'test')),
    accepted_id uuid    NOT NULL, -- the accepted parcel of message_id
    message_id  uuid    NOT NULL,
    told        boolean NOT NULL DEFAULT false,
    PRIMARY KEY (accepted_id, message_id, day)
) PARTITION BY RANGE (day);
CALL onlinesms_secure_table('cancellations');
CALL onlinesms_partition_by_day('cancellations');

-- The parcel that the cleared ones of a decision went out in; where it is absent, a message counts as sent.
ALTER TABLE decisions ADD COLUMN cleared_id uuid;

-- Holds are found by message: its accepted parcel. Those of before are not found and cannot be withdrawn.
ALTER TABLE holds ADD COLUMN accepted_id uuid, ADD COLUMN schedule_time timestamptz;
CREATE INDEX holds_accepted ON holds (accepted_id);
CREATE INDEX holds_scheduled ON holds (tenant_id, env, schedule_time) WHERE schedule_time IS NOT NULL;
