-- Of entries that are calls at the door: why one was refused, and the request id its caller was told.
alter table entries
    add column reason     text not null default '',
    add column request_id text not null default '';

-- Finds the refusals among many successes, and what one key or person did.
create index entries_actor on entries (tenant_id, env, actor, idx);
