-- Cleared messages whose sender withdrew them before an intent was written, by the parcel they went out in, which may
-- not have arrived here yet. No intent is committed for them.
CREATE TABLE cancellations (
    day        date NOT NULL, -- of parcel_id
    parcel_id  uuid NOT NULL,
    message_id uuid NOT NULL,
    tenant_id  uuid NOT NULL,
    PRIMARY KEY (parcel_id, message_id, day)
) PARTITION BY RANGE (day);
CALL onlinesms_secure_table('cancellations');
CALL onlinesms_partition_by_day('cancellations');
