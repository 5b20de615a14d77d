-- API keys: what a dashboard's backend shows to pin-admin. They never open pin-internal.
-- +goose Up
create table api_keys (
    id           uuid primary key default gen_random_uuid(),
    name         text check (char_length(name) <= 255),
    prefix       text not null,
    key_hash     bytea not null unique check (octet_length(key_hash) = 32),
    scopes       text[] not null check (scopes <@ array['admin', 'read'] and cardinality(scopes) between 1 and 2),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    created_at   timestamptz not null default now()
);
comment on column api_keys.scopes is 'admin: everything; read: everything, changing nothing';
comment on column api_keys.key_hash is 'SHA-256 of the key: 256 random bits need no slow hash';

grant select, insert, update, delete on api_keys to countersign_pin_admin;
