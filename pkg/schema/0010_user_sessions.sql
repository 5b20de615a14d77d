-- Sign-in sessions: a family of refresh tokens each, of which one is current. Access tokens carry the session's id, so
-- that revoking the row ends them too, at every service, at once.
-- +goose Up
create table user_sessions (
    id             uuid primary key default gen_random_uuid(),
    user_id        uuid not null references users (id) on delete cascade,
    current_number bigint not null default 1,
    created_at     timestamptz not null default now(),
    refreshed_at   timestamptz not null default now(),
    expires_at     timestamptz not null,
    revoked_at     timestamptz,
    revoked_why    text check (revoked_why in ('logout', 'reuse', 'password', 'user', 'admin'))
);
comment on column user_sessions.current_number is 'number of the refresh token that is good now';
comment on column user_sessions.expires_at is 'no refresh after this';
comment on column user_sessions.revoked_why is 'reuse: a refresh token older than the last but one was presented';
create index user_sessions_user on user_sessions (user_id, created_at);

create table refresh_tokens (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    session_id uuid not null references user_sessions (id) on delete cascade,
    number     bigint not null,
    unique (session_id, number)
);
comment on table refresh_tokens is 'every token a session ever had, as SHA-256, so that an old one is recognized when it comes back';

grant select, insert, update, delete on user_sessions, refresh_tokens to countersign_auth;
grant select (id, user_id, expires_at, revoked_at) on user_sessions to countersign_pin_admin;
