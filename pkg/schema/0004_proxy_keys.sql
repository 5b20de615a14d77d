-- An agent runtime authenticates to pin-internal with a proxy key of its instance. An instance may have several valid keys,
-- so that a new key can replace an old one without an interruption.
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
comment on table proxy_keys is 'credentials of agent runtimes';
comment on column proxy_keys.id is 'random identifier, used in the API; it is not secret';
comment on column proxy_keys.instance_id is 'the only instance that the key can use';
comment on column proxy_keys.name is 'name for people to read; null: not given';
comment on column proxy_keys.prefix is 'first characters of the key, so that people can tell keys apart';
comment on column proxy_keys.key_hash is 'SHA-256 of the key; a key has 256 random bits, so a slow hash is not needed';
comment on column proxy_keys.expires_at is 'time from which the key is invalid; null: it does not expire';
comment on column proxy_keys.revoked_at is 'time when the key was revoked; null: not revoked';
comment on column proxy_keys.last_used_at is 'time of the last use, at most one minute too old; null: never used';
comment on column proxy_keys.created_at is 'time when the key was created';

create index proxy_keys_instance on proxy_keys (instance_id, created_at);

grant select, update (last_used_at) on proxy_keys to countersign_pin_internal;
grant select, insert, update, delete on proxy_keys to countersign_pin_admin;
