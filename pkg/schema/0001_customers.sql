-- Customers: the people a platform knows, by address. A customer may hold a PIN and may own instances.
-- +goose Up
create table customers (
    id           uuid primary key default gen_random_uuid(),
    email        text not null check (char_length(email) between 3 and 254),
    display_name text check (char_length(display_name) <= 255),
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now()
);
comment on column customers.email is 'as it was given; unique without regard to case';
create unique index customers_email on customers (lower(email));

grant select on customers to countersign_pin_internal;
grant select, insert, update, delete on customers to countersign_pin_admin;
