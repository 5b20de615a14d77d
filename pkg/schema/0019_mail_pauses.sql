-- Pauses between mails to one address, whether or not a user has it. An address cannot be read from its row.
-- +goose Up
create table mail_pauses (
    address_hash bytea primary key check (octet_length(address_hash) = 32),
    mailed_at    timestamptz not null default now()
);
comment on column mail_pauses.address_hash is 'HMAC-SHA-256 of what is asked for and the address in lower case, under a subkey of AUTH_KEYS';
comment on column mail_pauses.mailed_at is 'when a mail was last asked for; the row is of no use a minute later';
create index mail_pauses_mailed on mail_pauses (mailed_at);

grant select, insert, update, delete on mail_pauses to countersign_auth;
