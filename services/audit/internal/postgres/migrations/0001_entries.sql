-- The ledger. Insert-only for the worker but for the heads: a leaf can never be changed, a commitment can be emptied.
create table entries (
    day          date        not null, -- day of receipt, UTC
    tenant_id    uuid        not null,
    idx          bigint      not null, -- contiguous from 0 within the tenant's log of this environment
    event_id     uuid        not null,
    env          text        not null,
    action       text        not null,
    actor        text        not null,
    resource     text        not null,
    outcome      text        not null,
    correlation  uuid        not null,
    causation    uuid        not null,
    messages     int         not null,
    occurred_at  timestamptz not null,
    received_at  timestamptz not null,
    leaf         bytea       not null, -- canonical bytes, audit-leaf/v1
    leaf_hash    bytea       not null, -- SHA-256(0x00 || leaf)
    primary key (tenant_id, env, idx, day)
) partition by range (day);
call onlinesms_partition_by_day('entries');
call onlinesms_secure_table('entries');

-- What commitments hide: erasing salt and value here leaves every leaf and proof as it is.
create table entry_fields (
    day       date   not null,
    tenant_id uuid   not null,
    env       text   not null,
    idx       bigint not null,
    name      text   not null,
    salt      bytea  not null,
    value     bytea,           -- null where another service keeps the value
    digest    bytea,           -- what the commitment is over when it is not the value itself
    primary key (tenant_id, env, idx, name, day)
) partition by range (day);
call onlinesms_partition_by_day('entry_fields');
call onlinesms_secure_table('entry_fields');

-- Which entries speak of which accepted parcel, and of which of its messages.
create table entry_parcels (
    day       date       not null,
    tenant_id uuid       not null,
    env       text       not null,
    parcel_id uuid       not null,
    idx       bigint     not null,
    indexes   smallint[] not null,
    primary key (tenant_id, env, parcel_id, idx, day)
) partition by range (day);
call onlinesms_partition_by_day('entry_parcels');
call onlinesms_secure_table('entry_parcels');

-- How many entries a log has; its row lock is the order of the log. A tenant has one log an environment, so that a test
-- key never sees live facts and each log is complete by itself.
create table tenant_heads (
    tenant_id uuid   not null,
    env       text   not null check (env in ('live', 'test')),
    size      bigint not null check (size >= 0),
    primary key (tenant_id, env)
);
call onlinesms_secure_table('tenant_heads');
