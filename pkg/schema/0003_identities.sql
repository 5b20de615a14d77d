-- Identities: a customer's account on one channel of one instance. Deleted with either of the two.
-- +goose Up
create table identities (
    id            uuid primary key default gen_random_uuid(),
    customer_id   uuid not null references customers (id) on delete cascade,
    instance_id   uuid not null references instances (id) on delete cascade,
    channel       text not null check (channel in ('telegram', 'whatsapp', 'voice', 'sms', 'email', 'web_chat')),
    external_id   text not null check (char_length(external_id) between 1 and 255),
    display_name  text check (char_length(display_name) <= 255),
    role_override text check (role_override in ('owner', 'customer')),
    verified      boolean not null default false,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now(),
    constraint identities_address unique (instance_id, channel, external_id)
);
comment on column identities.external_id is 'the account''s name on the channel, compared byte for byte';
comment on column identities.role_override is 'null: owner when the customer owns the instance, else customer';
create index identities_customer on identities (customer_id, instance_id);

grant select on identities to countersign_pin_internal;
grant select, insert, update, delete on identities to countersign_pin_admin;
