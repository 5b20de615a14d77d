-- A sign-in creates a user session. Access tokens contain the session's id, and each service checks this row. So revoking the
-- row also ends the access tokens, at every service, at once. For an important action a user proves the session again
-- (step-up).
-- +goose Up
create table user_sessions (
    id             uuid primary key default gen_random_uuid(),
    user_id        uuid not null references users (id) on delete cascade,
    amr            text[] not null default '{pwd}',
    proved_at      timestamptz not null default now(),
    current_number bigint not null default 1,
    created_at     timestamptz not null default now(),
    refreshed_at   timestamptz not null default now(),
    expires_at     timestamptz not null,
    revoked_at     timestamptz,
    revoked_why    text check (revoked_why in ('logout', 'reuse', 'password', 'user', 'admin'))
);
comment on table user_sessions is 'sign-ins of users';
comment on column user_sessions.id is 'random identifier, contained in access tokens';
comment on column user_sessions.user_id is 'user that signed in';
comment on column user_sessions.amr is 'authentication methods that were used (RFC 8176)';
comment on column user_sessions.proved_at is 'time of the last proof: the sign-in or a step-up';
comment on column user_sessions.current_number is 'number of the refresh token that is valid now';
comment on column user_sessions.created_at is 'time of the sign-in';
comment on column user_sessions.refreshed_at is 'time of the last refresh';
comment on column user_sessions.expires_at is 'time from which the session cannot be refreshed';
comment on column user_sessions.revoked_at is 'time when the session was revoked; null: not revoked';
comment on column user_sessions.revoked_why is 'reason of the revocation; reuse: a refresh token was presented that is older than the current one and the one before it';

create index user_sessions_user on user_sessions (user_id, created_at);

grant select, insert, update, delete on user_sessions to countersign_auth;
grant select (id, user_id, expires_at, revoked_at, proved_at, amr) on user_sessions to countersign_pin_admin;
