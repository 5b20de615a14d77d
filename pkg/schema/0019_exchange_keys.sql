-- Users store their credentials for exchanges here. The parts of one credential are encrypted together, so that a part of one
-- key cannot be exchanged for a part of another key.
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
comment on table exchange_keys is 'credentials of users for exchanges';
comment on column exchange_keys.id is 'random identifier, used in the API';
comment on column exchange_keys.user_id is 'owner of the key';
comment on column exchange_keys.exchange is 'name of the exchange';
comment on column exchange_keys.label is 'name for people to read; null: not given';
comment on column exchange_keys.masked_key is 'first and last characters of the exchange''s API key, so that people can tell keys apart';
comment on column exchange_keys.is_testnet is 'true if the key is for the test network of the exchange';
comment on column exchange_keys.permissions is 'what the key may do at the exchange, as the user stated it';
comment on column exchange_keys.credentials_sealed is 'API key, secret and passphrase as JSON, encrypted with AES-256-GCM under a subkey of AUTH_KEYS, with the id as associated data';
comment on column exchange_keys.generation is 'random, new after every change of the credentials or the network; the result of a test counts only for the tested generation';
comment on column exchange_keys.is_valid is 'result of the last test; null: not tested';
comment on column exchange_keys.last_tested_at is 'time of the last test; null: not tested';
comment on column exchange_keys.created_at is 'time when the key was stored';
comment on column exchange_keys.updated_at is 'time of the user''s last change; a test does not change it';

create index exchange_keys_user on exchange_keys (user_id, created_at, id);

grant select, insert, update, delete on exchange_keys to countersign_auth;
