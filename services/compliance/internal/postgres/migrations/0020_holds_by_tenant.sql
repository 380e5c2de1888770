-- Holds are released in turn over the tenants: the longest due of one tenant are found without those of the others.
CREATE INDEX holds_due_by_tenant ON holds (lane, tenant_id, due_time, hold_id);
