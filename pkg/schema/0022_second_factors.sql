-- Second factors: what a user proves beside the password, and the codes for when that is lost.
-- +goose Up
create table second_factors (
    user_id       uuid primary key references users (id) on delete cascade,
    secret_sealed bytea not null,
    created_at    timestamptz not null default now(),
    confirmed_at  timestamptz,
    last_step     bigint not null default 0
);
comment on column second_factors.secret_sealed is 'TOTP secret in base32, AES-256-GCM under a subkey of AUTH_KEYS, with the user''s id as associated data';
comment on column second_factors.confirmed_at is 'null: no code was shown yet, and nothing asks for one';
comment on column second_factors.last_step is 'time step (RFC 6238) of the last code that was accepted: none up to it is accepted again';

create table recovery_codes (
    user_id   uuid not null references second_factors (user_id) on delete cascade,
    code_hash bytea not null check (octet_length(code_hash) = 32),
    primary key (user_id, code_hash)
);
comment on table recovery_codes is 'those that are left; one that is used goes';
comment on column recovery_codes.code_hash is 'SHA-256 of the user''s id and the code, which has 80 random bits';

grant select, insert, update, delete on second_factors, recovery_codes to countersign_auth;
