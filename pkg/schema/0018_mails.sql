-- Mails to users, and the links in them. A mail is written in the transaction of what it speaks of, sent afterwards, and
-- stays as the memory of its link, which it does not hold: whoever reads this table can follow none.
-- +goose Up
create table mails (
    id            uuid primary key,
    user_id       uuid not null references users (id) on delete cascade,
    kind          text not null check (kind in ('confirm', 'reset', 'notice')),
    token_hash    bytea unique check (octet_length(token_hash) = 32),
    password_hash text,
    created_at    timestamptz not null default now(),
    expires_at    timestamptz not null,
    due_at        timestamptz default now(),
    tries         int not null default 0,
    sent_at       timestamptz,
    used_at       timestamptz
);
comment on column mails.kind is 'confirm: proves the address of a signup; reset: chooses a new password; notice: says that the address is registered';
comment on column mails.token_hash is 'SHA-256 of the token in the link, which is derived from the id under a subkey of AUTH_KEYS; null: no link';
comment on column mails.password_hash is 'confirm: the password of the very signup that the mail is about, PHC string; null once a link was followed';
comment on column mails.expires_at is 'the end of the link, and of trying to send it';
comment on column mails.due_at is 'when to try next; a sender at work has put it off for a while, so that another takes over if it dies; null: sent, given up or withdrawn';
comment on column mails.used_at is 'reset: the link was followed, or another one of the user was';
create index mails_due on mails (due_at) where due_at is not null;
create index mails_user on mails (user_id, kind);
create index mails_expiry on mails (expires_at);

grant select, insert, update, delete on mails to countersign_auth;
