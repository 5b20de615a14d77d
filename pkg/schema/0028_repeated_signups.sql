-- Several people may sign up with one address before it is confirmed. Each keeps the own password, and a confirmation link proves
-- only that its user can read the mailbox. So a stranger's signup cannot replace or join the owner's.
-- +goose Up
create table repeated_signups (
    user_id       uuid not null references users (id) on delete cascade,
    password_hash text not null,
    created_at    timestamptz not null default now(),
    primary key (user_id, password_hash)
);
comment on table repeated_signups is 'passwords of further signups with an unconfirmed address; the password of the first signup is in users';
comment on column repeated_signups.user_id is 'user with the unconfirmed address';
comment on column repeated_signups.password_hash is 'PHC string with the salt of users.password_hash, so that one hash of a candidate is compared with all signups of the address';
comment on column repeated_signups.created_at is 'time of the last signup with this password';

grant select, insert, update, delete on repeated_signups to countersign_auth;

-- Until now, each confirmation mail had the password of its own signup.
insert into repeated_signups (user_id, password_hash)
select distinct u.id, m.password_hash from mails m join users u on u.id = m.user_id
 where u.email_confirmed_at is null and m.password_hash <> u.password_hash;
alter table mails drop column password_hash;
comment on column users.password_hash is 'PHC string: Argon2id over the password; while the address is not confirmed, over the password of the first signup';
