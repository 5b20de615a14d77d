-- Customers are the people that a platform serves. A customer is known by an email address, may have a PIN, and may own
-- instances. Every other PIN table refers to this one.
-- +goose Up
create table customers (
    id           uuid primary key default gen_random_uuid(),
    email        text not null check (char_length(email) between 3 and 254),
    display_name text check (char_length(display_name) <= 255),
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now()
);
comment on table customers is 'the people that the platform serves';
comment on column customers.id is 'random identifier, used in the API';
comment on column customers.email is 'email address in lower case; unique without regard to case';
comment on column customers.display_name is 'name for people to read; null: not given';
comment on column customers.created_at is 'time when the customer was created';
comment on column customers.updated_at is 'time of the last change';

create unique index customers_email on customers (lower(email));
-- pin-admin lists customers by each of these orders. Rows with equal values are ordered by id.
create index customers_created on customers (created_at, id);
create index customers_display_name on customers (lower(display_name), id);

grant select on customers to countersign_pin_internal;
grant select, insert, update, delete on customers to countersign_pin_admin;
