-- A dashboard's backend authenticates to pin-admin with an API key. pin-internal does not accept API keys. auth exchanges an
-- API key for an access token (OAuth client credentials), so it reads the keys and writes the time of their last use.
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
comment on table api_keys is 'credentials of dashboard backends';
comment on column api_keys.id is 'random identifier, used in the API; it is not secret';
comment on column api_keys.name is 'name for people to read; null: not given';
comment on column api_keys.prefix is 'first characters of the key, so that people can tell keys apart';
comment on column api_keys.key_hash is 'SHA-256 of the key; a key has 256 random bits, so a slow hash is not needed';
comment on column api_keys.scopes is 'admin: may read and change all data; read: may read all data';
comment on column api_keys.expires_at is 'time from which the key is invalid; null: it does not expire';
comment on column api_keys.revoked_at is 'time when the key was revoked; null: not revoked';
comment on column api_keys.last_used_at is 'time of the last use, at most one minute too old; null: never used';
comment on column api_keys.created_at is 'time when the key was created';

-- pin-admin lists API keys by each of these orders.
create index api_keys_created on api_keys (created_at, id);
create index api_keys_name on api_keys (lower(name), id);

grant select, insert, update, delete on api_keys to countersign_pin_admin;
grant select (id, key_hash, scopes, expires_at, revoked_at, last_used_at), update (last_used_at) on api_keys to countersign_auth;
