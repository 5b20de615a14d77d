-- Users can sign in at auth. A user with a confirmed address and the customer with the same address are the same person.
-- +goose Up
create table users (
    id                  uuid primary key default gen_random_uuid(),
    email               text not null check (char_length(email) between 3 and 254),
    password_hash       text not null,
    password_generation uuid not null default gen_random_uuid(),
    role                text not null default 'user' check (role in ('user', 'admin')),
    full_name           text,
    avatar_url          text,
    phone               text,
    email_confirmed_at  timestamptz,
    created_at          timestamptz not null default now(),
    updated_at          timestamptz not null default now()
);
comment on table users is 'people that can sign in';
comment on column users.id is 'random identifier, and the subject of access tokens';
comment on column users.email is 'email address in lower case; unique without regard to case';
comment on column users.password_hash is 'PHC string: Argon2id over the password';
comment on column users.password_generation is 'random, new for each password that is set; a session starts only if the compared password is still the current one';
comment on column users.role is 'admin: may read and change all data of pin-admin; user: may change their own data';
comment on column users.full_name is 'name of the person; null: not given';
comment on column users.avatar_url is 'URL of a picture; null: not given';
comment on column users.phone is 'telephone number; null: not given';
comment on column users.email_confirmed_at is 'time when the address was confirmed; null: not confirmed, and the user cannot sign in';
comment on column users.created_at is 'time of the signup';
comment on column users.updated_at is 'time of the last change';

create unique index users_email on users (lower(email));

grant select, insert, update, delete on users to countersign_auth;
grant select (id, email, role, email_confirmed_at) on users to countersign_pin_admin;
