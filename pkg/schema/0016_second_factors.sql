-- A second factor is an authenticator app, whose codes a user types in addition to the password.
-- +goose Up
create table second_factors (
    user_id       uuid primary key references users (id) on delete cascade,
    secret_sealed bytea not null,
    created_at    timestamptz not null default now(),
    confirmed_at  timestamptz,
    last_step     bigint not null default 0
);
comment on table second_factors is 'authenticator apps (TOTP) of users';
comment on column second_factors.user_id is 'owner of the second factor';
comment on column second_factors.secret_sealed is 'TOTP secret in base32, encrypted with AES-256-GCM under a subkey of AUTH_KEYS, with the user''s id as associated data';
comment on column second_factors.created_at is 'time when the secret was created';
comment on column second_factors.confirmed_at is 'time when the first right code was typed; null: not yet, and sign-ins do not ask for a code';
comment on column second_factors.last_step is 'time step (RFC 6238) of the last accepted code; codes of this step and of earlier steps are refused';

grant select, insert, update, delete on second_factors to countersign_auth;
