-- Mails to users. A mail is written in the transaction that makes it necessary, and is sent afterwards. The row stays after
-- sending, because it also states whether the link in the mail is valid. The row does not contain the link, so a stolen
-- database contains no usable link.
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
comment on table mails is 'mails to users, sent and unsent';
comment on column mails.id is 'random identifier; the token in the link is derived from it';
comment on column mails.user_id is 'user that receives the mail';
comment on column mails.kind is 'confirm: the link confirms the address of a signup; reset: the link sets a new password; notice: says that the address is already registered, without a link';
comment on column mails.token_hash is 'SHA-256 of the token in the link; the token is derived from id under a subkey of AUTH_KEYS; null: no link';
comment on column mails.password_hash is 'confirm: password of the signup that the mail is about, as a PHC string; null: another kind, or the link was followed';
comment on column mails.created_at is 'time when the mail was written';
comment on column mails.expires_at is 'time from which the link is invalid and the mail is not sent any more';
comment on column mails.due_at is 'time of the next try to send; a sender first moves it to a later time, so that another sender tries again if the first one stops; null: sent, given up or withdrawn';
comment on column mails.tries is 'number of tries to send';
comment on column mails.sent_at is 'time when a mail server accepted the mail; null: not sent';
comment on column mails.used_at is 'reset: time when this link, or another reset link of the user, was followed; null: not used';

create index mails_due on mails (due_at) where due_at is not null;
create index mails_user on mails (user_id, kind);
create index mails_expiry on mails (expires_at);

grant select, insert, update, delete on mails to countersign_auth;
