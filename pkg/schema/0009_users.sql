-- Users: who can sign in. A user whose address is confirmed is the customer with that address.
-- +goose Up
create table users (
    id                 uuid primary key default gen_random_uuid(),
    email              text not null check (char_length(email) between 3 and 254),
    password_hash      text not null,
    role               text not null default 'user' check (role in ('user', 'admin')),
    full_name          text,
    avatar_url         text,
    phone              text,
    email_confirmed_at timestamptz,
    created_at         timestamptz not null default now(),
    updated_at         timestamptz not null default now()
);
comment on column users.email is 'in lower case';
comment on column users.password_hash is 'PHC string: Argon2id';
comment on column users.email_confirmed_at is 'null: the address is not proved, and the user cannot sign in';
create unique index users_email on users (lower(email));

grant select, insert, update, delete on users to countersign_auth;
grant select (id, email, role, email_confirmed_at) on users to countersign_pin_admin;
