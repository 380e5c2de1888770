-- Kill switches as compliance has told of them. Rows stay when a switch is taken off: their version tells later news from
-- earlier. They are few.
CREATE TABLE sending_stops (
    tenant_id uuid    NOT NULL,
    scope     text    NOT NULL,
    object_id text    COLLATE "C" NOT NULL, -- empty for the tenant
    version   bigint  NOT NULL,             -- of the tenant's switches, after the change
    stopped   boolean NOT NULL,
    PRIMARY KEY (tenant_id, scope, object_id)
);
CREATE INDEX sending_stops_on ON sending_stops (tenant_id) WHERE stopped;
CALL onlinesms_secure_table('sending_stops');
