-- pin-internal signs receipts with these keys, and pin-admin publishes the public half. They are separate from the keys of access
-- tokens, so that neither service can make what the other one signs.
-- +goose Up
create table receipt_keys (
    id             uuid primary key,
    public_key     bytea not null check (octet_length(public_key) = 32),
    private_sealed bytea not null,
    created_at     timestamptz not null default now(),
    retired_at     timestamptz
);
comment on table receipt_keys is 'keys that sign receipts';
comment on column receipt_keys.id is 'random identifier; the header field kid of the receipts that the key signed';
comment on column receipt_keys.public_key is 'Ed25519 public key';
comment on column receipt_keys.private_sealed is 'Ed25519 seed, encrypted with AES-256-GCM under a subkey of PIN_KEYS, with the id as associated data';
comment on column receipt_keys.created_at is 'time when the key was created';
comment on column receipt_keys.retired_at is 'time from which the key signs nothing new; null: not set yet';

grant select, insert, update on receipt_keys to countersign_pin_internal;
grant select, insert, update, delete on receipt_keys to countersign_pin_admin;
