-- Exchange keys: what users hold to have their accounts at exchanges read or used. The credentials lie sealed, together, so
-- that no part of one key can be put in the place of another's.
-- +goose Up
create table exchange_keys (
    id                 uuid primary key,
    user_id            uuid not null references users (id) on delete cascade,
    exchange           text not null,
    label              text check (char_length(label) between 1 and 100),
    masked_key         text not null,
    is_testnet         boolean not null,
    permissions        text[] not null check (cardinality(permissions) <= 20),
    credentials_sealed bytea not null,
    generation         uuid not null default gen_random_uuid(),
    is_valid           boolean,
    last_tested_at     timestamptz,
    created_at         timestamptz not null default now(),
    updated_at         timestamptz not null default now()
);
comment on column exchange_keys.masked_key is 'the first and the last characters of the API key, to recognize it by';
comment on column exchange_keys.permissions is 'what the user says that the key may do';
comment on column exchange_keys.credentials_sealed is 'API key, secret and passphrase as JSON, AES-256-GCM under a subkey of AUTH_KEYS, with the id as associated data';
comment on column exchange_keys.generation is 'another one with every change of what is sent to the exchange: a test that began before says nothing of it';
comment on column exchange_keys.is_valid is 'what the exchange said last; null: not yet anything';
comment on column exchange_keys.updated_at is 'of the user''s last change; a test is none';
create index exchange_keys_user on exchange_keys (user_id, created_at, id);

grant select, insert, update, delete on exchange_keys to countersign_auth;
