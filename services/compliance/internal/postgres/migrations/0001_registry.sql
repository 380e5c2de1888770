-- What DLT knows of each tenant. Replicas hold it in memory and reload when the version grows.
CREATE TABLE registry_versions (
    tenant_id   uuid PRIMARY KEY,
    version     bigint      NOT NULL,
    change_time timestamptz NOT NULL DEFAULT now()
);
CALL onlinesms_secure_table('registry_versions');

CREATE TABLE telemarketers (
    tenant_id       uuid NOT NULL,
    telemarketer_id text NOT NULL CHECK (telemarketer_id ~ '^[0-9]{19}$'),
    name            text NOT NULL,
    role            text NOT NULL, -- TM-AF or TM-DF
    status          text NOT NULL,
    PRIMARY KEY (tenant_id, telemarketer_id)
);
CALL onlinesms_secure_table('telemarketers');

CREATE TABLE entities (
    tenant_id    uuid   NOT NULL,
    entity_id    text   NOT NULL CHECK (entity_id ~ '^[0-9]{19}$'),
    name         text   NOT NULL,
    status       text   NOT NULL,
    chain        text[] NOT NULL, -- telemarketers in order, TM-DF last; empty: no chain approved
    chain_status text   NOT NULL,
    PRIMARY KEY (tenant_id, entity_id)
);
CALL onlinesms_secure_table('entities');

CREATE TABLE headers (
    tenant_id uuid NOT NULL,
    header    text NOT NULL, -- case-sensitive
    entity_id text NOT NULL,
    kind      text NOT NULL, -- other or promotional
    status    text NOT NULL,
    PRIMARY KEY (tenant_id, header),
    FOREIGN KEY (tenant_id, entity_id) REFERENCES entities
);
CALL onlinesms_secure_table('headers');

CREATE TABLE ctas (
    tenant_id uuid NOT NULL,
    entity_id text NOT NULL,
    kind      text NOT NULL,
    value     text NOT NULL,
    status    text NOT NULL,
    PRIMARY KEY (tenant_id, entity_id, kind, value),
    FOREIGN KEY (tenant_id, entity_id) REFERENCES entities
);
CALL onlinesms_secure_table('ctas');

CREATE TABLE templates (
    tenant_id   uuid    NOT NULL,
    template_id text    NOT NULL CHECK (template_id ~ '^[0-9]{19}$'),
    entity_id   text    NOT NULL,
    headers     text[]  NOT NULL,
    category    text    NOT NULL,
    status      text    NOT NULL,
    body        text    NOT NULL,
    variables   text[]  NOT NULL, -- names; empty: var1, var2, …
    overrides   text[]  NOT NULL,
    max_length  integer NOT NULL,
    goods       integer,          -- category of goods 0-8
    PRIMARY KEY (tenant_id, template_id),
    FOREIGN KEY (tenant_id, entity_id) REFERENCES entities
);
CALL onlinesms_secure_table('templates');
