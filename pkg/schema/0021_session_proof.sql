-- How and when a sign-in session was proved. It can be proved again (a step-up) when something matters more than being signed
-- in. A session counts only for the password that was compared, as a PIN's verdict does, hence that has a generation too.
-- +goose Up
alter table user_sessions
    add column amr text[] not null default '{pwd}',
    add column proved_at timestamptz not null default now();
comment on column user_sessions.amr is 'the methods that proved it (RFC 8176)';
comment on column user_sessions.proved_at is 'when it was last proved: at the sign-in, or since';
update user_sessions set proved_at = created_at;

alter table users add column password_generation uuid not null default gen_random_uuid();
comment on column users.password_generation is 'renewed whenever a password is set; no session begins on an older one';

grant select (proved_at, amr) on user_sessions to countersign_pin_admin;
