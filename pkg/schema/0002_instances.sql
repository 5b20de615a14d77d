-- Instances: one running agent each, and the wall inside a deployment: a proxy key sees only what is within its own.
-- +goose Up
create table instances (
    id                uuid primary key default gen_random_uuid(),
    name              text not null check (char_length(name) between 1 and 255),
    owner_customer_id uuid references customers (id) on delete restrict,
    created_at        timestamptz not null default now(),
    updated_at        timestamptz not null default now()
);
comment on column instances.owner_customer_id is 'null: nobody; a customer that owns an instance cannot be deleted';
create index instances_owner on instances (owner_customer_id);

grant select on instances to countersign_pin_internal;
grant select, insert, update, delete on instances to countersign_pin_admin;
