-- A user who loses the second factor types a recovery code instead. Each code works once: its row is deleted when it is used.
-- +goose Up
create table recovery_codes (
    user_id   uuid not null references second_factors (user_id) on delete cascade,
    code_hash bytea not null check (octet_length(code_hash) = 32),
    primary key (user_id, code_hash)
);
comment on table recovery_codes is 'unused recovery codes';
comment on column recovery_codes.user_id is 'owner of the code';
comment on column recovery_codes.code_hash is 'SHA-256 of the user''s id and the code; a code has 80 random bits';

grant select, insert, update, delete on recovery_codes to countersign_auth;
