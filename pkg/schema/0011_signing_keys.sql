-- Signing keys for access tokens. The private half is sealed and only auth may read it.
-- +goose Up
create table signing_keys (
    id             uuid primary key,
    public_key     bytea not null check (octet_length(public_key) = 32),
    private_sealed bytea not null,
    created_at     timestamptz not null default now(),
    retired_at     timestamptz
);
comment on column signing_keys.id is 'the kid of tokens signed with it';
comment on column signing_keys.private_sealed is 'Ed25519 seed, AES-256-GCM under a subkey of AUTH_KEYS, with the id as associated data';
comment on column signing_keys.retired_at is 'set: signs nothing new; its tokens stay good until they expire';

grant select, insert, update on signing_keys to countersign_auth;
grant select (id, public_key, created_at, retired_at) on signing_keys to countersign_pin_admin;
