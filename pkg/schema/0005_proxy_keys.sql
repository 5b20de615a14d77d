-- Proxy keys: what an agent runtime shows for its instance. Several may live side by side while one replaces another.
-- +goose Up
create table proxy_keys (
    id           uuid primary key default gen_random_uuid(),
    instance_id  uuid not null references instances (id) on delete cascade,
    name         text check (char_length(name) <= 255),
    prefix       text not null,
    key_hash     bytea not null unique check (octet_length(key_hash) = 32),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz,
    created_at   timestamptz not null default now()
);
comment on column proxy_keys.prefix is 'the first characters of the key, for people to tell keys apart';
comment on column proxy_keys.key_hash is 'SHA-256 of the key: 256 random bits need no slow hash';
comment on column proxy_keys.last_used_at is 'within a minute';
create index proxy_keys_instance on proxy_keys (instance_id, created_at);

grant select, update (last_used_at) on proxy_keys to countersign_pin_internal;
grant select, insert, update, delete on proxy_keys to countersign_pin_admin;
