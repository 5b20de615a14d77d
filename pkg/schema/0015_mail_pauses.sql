-- After a mail to an address was requested, further requests must wait. A row is written for every address, with or without
-- a user, so that the wait does not show which addresses have an account.
-- +goose Up
create table mail_pauses (
    address_hash bytea primary key check (octet_length(address_hash) = 32),
    mailed_at    timestamptz not null default now()
);
comment on table mail_pauses is 'addresses to which a mail was requested recently';
comment on column mail_pauses.address_hash is 'HMAC-SHA-256 of the kind of mail and the address in lower case, under a subkey of AUTH_KEYS; the address cannot be read from it';
comment on column mail_pauses.mailed_at is 'time of the last request that was accepted; the next one must wait one minute';

create index mail_pauses_mailed on mail_pauses (mailed_at);

grant select, insert, update, delete on mail_pauses to countersign_auth;
