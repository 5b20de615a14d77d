-- An agent revokes a session. Redis, which has the session, may lose the deletion in a failover. So the revocation is stored
-- here. The query that checks a session reads it by its primary key.
-- +goose Up
create table revoked_sessions (
    session_hash bytea not null check (octet_length(session_hash) = 32),
    instance_id  uuid not null,
    expires_at   timestamptz not null,
    primary key (session_hash, instance_id)
);
comment on table revoked_sessions is 'PIN sessions that an agent revoked, until they would have ended anyway';
comment on column revoked_sessions.session_hash is 'SHA-256 of the session''s token; a token has 256 random bits';
comment on column revoked_sessions.instance_id is 'instance that revoked the session; a session of another instance stays valid; no reference, because the row is kept for a day only';
comment on column revoked_sessions.expires_at is 'time after which no session with this token can be valid: the longest lifetime of a session after the revocation';

create index revoked_sessions_expiry on revoked_sessions (expires_at);

grant select, insert on revoked_sessions to countersign_pin_internal;
grant select, delete on revoked_sessions to countersign_pin_admin;
