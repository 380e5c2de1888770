-- OTP sessions. Not partitioned by day: a number and purpose has one open session whatever the day, and a session is
-- deleted 24 hours after its last code expired, in batches, like idempotency keys. Room in the pages keeps the updates of
-- checks beside their rows.
CREATE TABLE verifications (
    tenant_id uuid NOT NULL,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    verification_id uuid NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'verified', 'cancelled', 'closed')),
    number_index bytea NOT NULL CHECK (length(number_index) = 16), -- blind
    range_index bytea NOT NULL CHECK (length(range_index) = 16), -- blind
    number_sealed bytea NOT NULL,
    purpose text NOT NULL,
    code_mac bytea NOT NULL CHECK (length(code_mac) = 32), -- under the pepper of this version
    pepper_version smallint NOT NULL,
    checks smallint NOT NULL CHECK (checks BETWEEN 0 AND 3), -- counted before a code is compared
    sends smallint NOT NULL CHECK (sends BETWEEN 1 AND 4),
    unsent boolean NOT NULL, -- the latest code did not leave
    suspected boolean NOT NULL, -- of pumping, at the latest send
    create_time timestamptz NOT NULL,
    send_time timestamptz NOT NULL, -- of the latest code
    expire_time timestamptz NOT NULL, -- of the latest code
    message_id uuid, -- that carried the latest code
    PRIMARY KEY (tenant_id, env, verification_id)
) WITH (fillfactor = 80);
ALTER TABLE verifications ALTER COLUMN number_sealed SET STORAGE EXTERNAL; -- sealed bytes do not compress
CREATE UNIQUE INDEX verifications_open ON verifications (tenant_id, env, number_index, purpose) WHERE state = 'open';
CREATE INDEX verifications_expire ON verifications (expire_time);
CALL onlinesms_secure_table('verifications');

-- Limits on codes (verification.Limit): until when what was taken is paid off. A row in the past says nothing.
CREATE TABLE verification_limits (
    tenant_id uuid NOT NULL,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    kind text NOT NULL,
    subject bytea NOT NULL CHECK (length(subject) = 16), -- keyed hash of number or address, zeros for the tenant
    paid_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, env, kind, subject)
) WITH (fillfactor = 80);
CREATE INDEX verification_limits_paid ON verification_limits (paid_time);
CALL onlinesms_secure_table('verification_limits');

-- Codes sent to and verified by a range of numbers in an hour (verification.Budget).
CREATE TABLE verification_ranges (
    tenant_id uuid NOT NULL,
    env text NOT NULL CHECK (env IN ('live', 'test')),
    range_index bytea NOT NULL CHECK (length(range_index) = 16),
    hour timestamptz NOT NULL,
    sent int NOT NULL,
    verified int NOT NULL,
    PRIMARY KEY (tenant_id, env, range_index, hour)
) WITH (fillfactor = 80);
CREATE INDEX verification_ranges_hour ON verification_ranges (hour);
CALL onlinesms_secure_table('verification_ranges');
