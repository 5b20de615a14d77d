-- auth signs access tokens with these keys. Other services read only the public half. The private half is encrypted, and
-- only auth may read it. When a new key is created, retired_at of the old key is set to a time in the near future, so that
-- the new key is published before it signs.
-- +goose Up
create table signing_keys (
    id             uuid primary key,
    public_key     bytea not null check (octet_length(public_key) = 32),
    private_sealed bytea not null,
    created_at     timestamptz not null default now(),
    retired_at     timestamptz
);
comment on table signing_keys is 'keys that sign access tokens';
comment on column signing_keys.id is 'random identifier; the header field kid of the tokens that the key signed';
comment on column signing_keys.public_key is 'Ed25519 public key';
comment on column signing_keys.private_sealed is 'Ed25519 seed, encrypted with AES-256-GCM under a subkey of AUTH_KEYS, with the id as associated data';
comment on column signing_keys.created_at is 'time when the key was created';
comment on column signing_keys.retired_at is 'time from which the key signs nothing; tokens that it signed before stay valid until they expire; null: not set yet';

grant select, insert, update on signing_keys to countersign_auth;
grant select (id, public_key, created_at, retired_at) on signing_keys to countersign_pin_admin;
