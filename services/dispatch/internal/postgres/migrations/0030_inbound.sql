-- What handsets send. The way of a message is explained in internal/inbound/doc.go.

-- Who sent by a header lately: whose an answer is. Small: one row a tenant and header.
CREATE TABLE header_owners (
    env       text        NOT NULL,
    header    text        NOT NULL, -- upper case
    tenant_id uuid        NOT NULL,
    last_time timestamptz NOT NULL, -- of a submit, to the hour or so
    PRIMARY KEY (env, header, tenant_id)
);
CALL onlinesms_secure_table('header_owners');

-- A tenant's own words; the built-in ones are in the program.
CREATE TABLE inbound_keywords (
    tenant_id uuid NOT NULL,
    env       text NOT NULL,
    keyword   text NOT NULL, -- inbound.Normal
    action    text NOT NULL,
    PRIMARY KEY (tenant_id, env, keyword)
);
CALL onlinesms_secure_table('inbound_keywords');

-- Short messages as they came, for joining them and for knowing them again. sealed is taken out once they are joined.
CREATE TABLE inbound_parts (
    day             date        NOT NULL, -- UTC day of received_at
    part_id         uuid        NOT NULL,
    tenant_id       uuid        NOT NULL, -- zeros: nobody's, the platform's
    env             text        NOT NULL,
    route           text        NOT NULL,
    group_id        bytea       NOT NULL, -- route, sender, address, reference, total; hashed
    reference       int         NOT NULL,
    total           smallint    NOT NULL,
    seq             smallint    NOT NULL,
    address         text        NOT NULL,
    recipient_index bytea       NOT NULL,
    received_at     timestamptz NOT NULL,
    pdu_sha256      bytea       NOT NULL,
    content_sha256  bytea       NOT NULL, -- of the PDU's body: the same when it is sent again
    sealed          bytea,                -- dispatch.v1.InboundContent; NULL once joined
    PRIMARY KEY (part_id, day)
) PARTITION BY RANGE (day);
CREATE INDEX inbound_parts_group ON inbound_parts (group_id);
CREATE INDEX inbound_parts_waiting ON inbound_parts (received_at) WHERE sealed IS NOT NULL;
CALL onlinesms_secure_table('inbound_parts');
CALL onlinesms_partition_by_day('inbound_parts');

CREATE TABLE inbound (
    day             date        NOT NULL, -- of inbound_id
    inbound_id      uuid        NOT NULL, -- UUIDv7
    tenant_id       uuid        NOT NULL, -- zeros: nobody's, the platform's
    env             text        NOT NULL,
    route           text        NOT NULL,
    address         text        NOT NULL,
    recipient_index bytea       NOT NULL,
    received_at     timestamptz NOT NULL,
    parts           smallint    NOT NULL,
    incomplete      boolean     NOT NULL,
    keyword         text        NOT NULL,
    action          text        NOT NULL,
    pdu_sha256      bytea       NOT NULL,
    sealed          bytea       NOT NULL, -- dispatch.v1.InboundContent
    PRIMARY KEY (tenant_id, env, inbound_id, day)
) PARTITION BY RANGE (day);
CALL onlinesms_secure_table('inbound');
CALL onlinesms_partition_by_day('inbound');
