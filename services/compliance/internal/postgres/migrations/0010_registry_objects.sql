-- What DLT knows of each tenant, all kinds in one table: they are listed, changed, followed and audited alike. Rows are
-- never removed: a registration that has ended stays, inactive. Every change of a tenant takes the row lock of
-- registry_versions first and writes the new version beside what it changed, so that replicas read what is newer than
-- what they hold.
CREATE TABLE registry_objects (
    tenant_id   uuid   NOT NULL,
    kind        text   NOT NULL CHECK (kind IN ('telemarketers', 'entities', 'headers', 'ctas', 'templates')),
    object_id   text   COLLATE "C" NOT NULL, -- 19 digits; a header's text, case-sensitive; a call to action's hash
    entity_id   text   NOT NULL,             -- owner; empty for entities and telemarketers
    status      text   NOT NULL,
    operators   jsonb  NOT NULL,             -- status by operator, where it differs
    valid_from  timestamptz,
    valid_until timestamptz,
    certified   timestamptz,
    detail      jsonb  NOT NULL,             -- registry.Detail
    version     bigint NOT NULL,             -- of the registry, when this row was last changed
    create_time timestamptz NOT NULL DEFAULT now(),
    update_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, kind, object_id)
);
CREATE INDEX registry_objects_version ON registry_objects (tenant_id, version);
CREATE INDEX registry_objects_entity ON registry_objects (tenant_id, kind, entity_id, object_id);

-- Every body a template has had. The one in force stands in registry_objects too.
CREATE TABLE template_revisions (
    tenant_id   uuid    NOT NULL,
    template_id text    COLLATE "C" NOT NULL,
    revision    integer NOT NULL CHECK (revision >= 1),
    body        text    NOT NULL,
    valid_from  timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, template_id, revision)
);

-- The last day (IST) an object was used for a cleared live message. Written once an object and day.
CREATE TABLE registry_uses (
    tenant_id uuid NOT NULL,
    kind      text NOT NULL,
    object_id text COLLATE "C" NOT NULL,
    last_use  date NOT NULL,
    PRIMARY KEY (tenant_id, kind, object_id)
);
CALL onlinesms_secure_table('registry_uses');

ALTER TABLE registry_versions NO FORCE ROW LEVEL SECURITY; -- so that its owner may read it here
ALTER TABLE telemarketers NO FORCE ROW LEVEL SECURITY; -- so that its owner may read it here
ALTER TABLE entities NO FORCE ROW LEVEL SECURITY; -- so that its owner may read it here
ALTER TABLE headers NO FORCE ROW LEVEL SECURITY; -- so that its owner may read it here
ALTER TABLE ctas NO FORCE ROW LEVEL SECURITY; -- so that its owner may read it here
ALTER TABLE templates NO FORCE ROW LEVEL SECURITY; -- so that its owner may read it here
-- What was there before. The old tables stay for replicas of the version before and are dropped by a later migration.
INSERT INTO registry_objects (tenant_id, kind, object_id, entity_id, status, operators, detail, version)
SELECT t.tenant_id, 'telemarketers', telemarketer_id, '', coalesce(nullif(status, ''), 'active'), '{}',
    jsonb_strip_nulls(jsonb_build_object('name', nullif(name, ''), 'role', role)), v.version
FROM telemarketers t JOIN registry_versions v USING (tenant_id);
INSERT INTO registry_objects (tenant_id, kind, object_id, entity_id, status, operators, detail, version)
SELECT e.tenant_id, 'entities', entity_id, '', coalesce(nullif(status, ''), 'active'), '{}',
    jsonb_strip_nulls(jsonb_build_object('name', nullif(name, ''), 'chain', CASE WHEN chain <> '{}' THEN to_jsonb(chain) END,
        'chain_status', CASE WHEN chain <> '{}' THEN coalesce(nullif(chain_status, ''), 'active') END)), v.version
FROM entities e JOIN registry_versions v USING (tenant_id);
INSERT INTO registry_objects (tenant_id, kind, object_id, entity_id, status, operators, detail, version)
SELECT h.tenant_id, 'headers', header, entity_id, coalesce(nullif(status, ''), 'active'), '{}',
    jsonb_build_object('type', coalesce(nullif(kind, ''), 'other')), v.version
FROM headers h JOIN registry_versions v USING (tenant_id);
INSERT INTO registry_objects (tenant_id, kind, object_id, entity_id, status, operators, detail, version)
SELECT c.tenant_id, 'ctas', md5(entity_id || chr(10) || kind || chr(10) || value), entity_id, coalesce(nullif(status, ''), 'active'), '{}',
    jsonb_build_object('type', kind, 'value', value), v.version
FROM ctas c JOIN registry_versions v USING (tenant_id);
INSERT INTO registry_objects (tenant_id, kind, object_id, entity_id, status, operators, detail, version)
SELECT t.tenant_id, 'templates', template_id, entity_id, coalesce(nullif(status, ''), 'active'), '{}',
    jsonb_strip_nulls(jsonb_build_object('body', body, 'revision', 1, 'category', category,
        'headers', CASE WHEN headers <> '{}' THEN to_jsonb(headers) END,
        'variables', CASE WHEN variables <> '{}' THEN to_jsonb(variables) END,
        'overrides', CASE WHEN overrides <> '{}' THEN to_jsonb(overrides) END,
        'max_length', nullif(max_length, 0), 'goods', goods)), v.version
FROM templates t JOIN registry_versions v USING (tenant_id);
INSERT INTO template_revisions (tenant_id, template_id, revision, body, valid_from)
SELECT tenant_id, object_id, 1, detail ->> 'body', create_time FROM registry_objects WHERE kind = 'templates';
ALTER TABLE registry_versions FORCE ROW LEVEL SECURITY;
ALTER TABLE telemarketers FORCE ROW LEVEL SECURITY;
ALTER TABLE entities FORCE ROW LEVEL SECURITY;
ALTER TABLE headers FORCE ROW LEVEL SECURITY;
ALTER TABLE ctas FORCE ROW LEVEL SECURITY;
ALTER TABLE templates FORCE ROW LEVEL SECURITY;

CALL onlinesms_secure_table('registry_objects');
CALL onlinesms_secure_table('template_revisions');
