-- Everybody can request mails to an address. So one address gets at most 5 requested mails an hour and 10 a day.
-- +goose Up
create table mail_quotas (
    address_hash bytea primary key check (octet_length(address_hash) = 32),
    mailed       timestamptz[] not null check (cardinality(mailed) <= 10),
    reset_at     timestamptz,
    changed_at   timestamptz not null default now()
);
comment on table mail_quotas is 'requested mails to addresses during the last day';
comment on column mail_quotas.address_hash is 'HMAC-SHA-256 of the address in lower case, under a subkey of AUTH_KEYS; the address cannot be read from it';
comment on column mail_quotas.mailed is 'times of the last 10 mails that count, newest first';
comment on column mail_quotas.reset_at is 'time of the last password-reset mail that does not count: one an hour; null: no such mail';
comment on column mail_quotas.changed_at is 'time of the last mail; the row means nothing a day later';

create index mail_quotas_changed on mail_quotas (changed_at);

grant select, insert, update, delete on mail_quotas to countersign_auth;
