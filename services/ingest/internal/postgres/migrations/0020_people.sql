-- People. They belong to a tenant, not to an environment. E-mail addresses stand here sealed, under the tenant's lasting
-- key, and as a blind index of the platform: who logs in names his address, not always his tenant.
CREATE TABLE users (
    tenant_id uuid NOT NULL REFERENCES tenants,
    user_id uuid NOT NULL,
    email_index bytea NOT NULL CHECK (length(email_index) = 16),
    email_sealed bytea NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'developer', 'compliance_officer', 'auditor')),
    status text NOT NULL CHECK (status IN ('invited', 'active', 'disabled')),
    password_hash text NOT NULL DEFAULT '', -- argon2id with its parameters; empty: none
    totp_sealed bytea, -- seed of the authenticator, confirmed or not
    totp_confirmed boolean NOT NULL DEFAULT false CHECK (NOT totp_confirmed OR totp_sealed IS NOT NULL),
    totp_step bigint NOT NULL DEFAULT 0, -- the latest step a code was taken of: no code of it or before is taken again
    create_time timestamptz NOT NULL,
    login_time timestamptz,
    PRIMARY KEY (tenant_id, user_id),
    UNIQUE (email_index, tenant_id)
);
CREATE INDEX users_list ON users (tenant_id, create_time, user_id);
CALL onlinesms_secure_table('users');

-- Recovery codes that are not used yet.
CREATE TABLE recovery_codes (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    code_mac bytea NOT NULL CHECK (length(code_mac) = 16), -- under a key of the tenant
    PRIMARY KEY (tenant_id, user_id, code_mac),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users ON DELETE CASCADE
);
CALL onlinesms_secure_table('recovery_codes');

-- Sessions that are not ended. Ending one deletes its row.
CREATE TABLE sessions (
    session_id text PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    stage text NOT NULL CHECK (stage IN ('password', 'pending', 'complete')),
    secret_mac bytea NOT NULL CHECK (length(secret_mac) = 32),
    pepper_version smallint NOT NULL,
    create_time timestamptz NOT NULL, -- of the login
    last_use_time timestamptz NOT NULL, -- to the minute
    expire_time timestamptz NOT NULL,
    address inet,
    user_agent text NOT NULL,
    FOREIGN KEY (tenant_id, user_id) REFERENCES users ON DELETE CASCADE
) WITH (fillfactor = 80);
CREATE INDEX sessions_user ON sessions (tenant_id, user_id);
CREATE INDEX sessions_expire ON sessions (expire_time);
CALL onlinesms_secure_table('sessions');

-- Links by which a password can be set, once. Also made for addresses that nobody has, so that asking for one costs the
-- same: those have no user. For the same reason no foreign key is checked here.
CREATE TABLE password_links (
    tenant_id uuid NOT NULL,
    link_id text NOT NULL,
    user_id uuid,
    secret_mac bytea NOT NULL CHECK (length(secret_mac) = 32),
    pepper_version smallint NOT NULL,
    expire_time timestamptz NOT NULL,
    PRIMARY KEY (link_id)
);
CREATE INDEX password_links_expire ON password_links (expire_time);
CREATE INDEX password_links_user ON password_links (tenant_id, user_id);
CALL onlinesms_secure_table('password_links');

-- Letters to send, sealed; a letter to nobody is thrown away by the sender.
CREATE TABLE letters (
    tenant_id uuid NOT NULL,
    letter_id uuid NOT NULL,
    sealed bytea NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    due_time timestamptz NOT NULL, -- from then on it may be sent; moved ahead while somebody sends it
    expire_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, letter_id)
);
CREATE INDEX letters_due ON letters (due_time);
CALL onlinesms_secure_table('letters');

-- How often an address was tried from one network since the last success; addresses that nobody has too. They are of no
-- tenant: else the delay of an address that is tried with and without tenant would tell whether somebody has it.
CREATE TABLE login_failures (
    account bytea NOT NULL CHECK (length(account) = 16), -- the index of the address
    network cidr NOT NULL, -- /24 or /48
    kind text NOT NULL CHECK (kind IN ('password', 'code', 'reset')),
    failures int NOT NULL, -- compared
    tries int NOT NULL, -- all, those that came too early included
    try_time timestamptz NOT NULL,
    next_time timestamptz NOT NULL, -- before it nothing is compared
    early boolean NOT NULL, -- the latest try came before it
    PRIMARY KEY (account, network, kind)
) WITH (fillfactor = 50);
CREATE INDEX login_failures_old ON login_failures USING brin (try_time) WITH (autosummarize = on);
CALL onlinesms_secure_table('login_failures');

-- Every try to log in, for 180 days.
CREATE TABLE login_attempts (
    tenant_id uuid NOT NULL, -- zero where no tenant is known
    attempt_id uuid NOT NULL, -- UUIDv7: its order is that of time
    user_id uuid, -- null where no user was meant
    method text NOT NULL,
    reason text NOT NULL, -- empty: a success
    address inet,
    user_agent text NOT NULL,
    attempt_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, attempt_id)
);
CREATE INDEX login_attempts_user ON login_attempts (tenant_id, user_id, attempt_id);
CREATE INDEX login_attempts_time ON login_attempts USING brin (attempt_time) WITH (autosummarize = on);
CALL onlinesms_secure_table('login_attempts');

-- Where the people of a tenant may sign in.
CREATE TABLE identity_providers (
    tenant_id uuid PRIMARY KEY REFERENCES tenants,
    issuer text NOT NULL,
    client_id text NOT NULL,
    secret_sealed bytea NOT NULL,
    email_domains text[] NOT NULL
);
CALL onlinesms_secure_table('identity_providers');

-- Who signs in there is whom: a blind index of issuer and subject.
CREATE TABLE user_identities (
    tenant_id uuid NOT NULL,
    identity_index bytea NOT NULL CHECK (length(identity_index) = 16),
    user_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, identity_index),
    UNIQUE (tenant_id, user_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users ON DELETE CASCADE
);
CALL onlinesms_secure_table('user_identities');

-- Sign-ins that are on their way to the provider and back. Nonce and PKCE verifier are derived from the browser's secret.
CREATE TABLE federated_logins (
    state_id text PRIMARY KEY,
    tenant_id uuid NOT NULL,
    secret_mac bytea NOT NULL CHECK (length(secret_mac) = 32), -- of the state
    binding_mac bytea NOT NULL CHECK (length(binding_mac) = 32), -- of the browser's secret
    pepper_version smallint NOT NULL,
    expire_time timestamptz NOT NULL
);
CREATE INDEX federated_logins_expire ON federated_logins (expire_time);
CALL onlinesms_secure_table('federated_logins');
