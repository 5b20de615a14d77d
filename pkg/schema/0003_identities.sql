-- An identity is a customer's account on one channel of one instance, for example a Telegram account. An agent knows a
-- person by an identity. Deleting the customer or the instance deletes the identity.
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
comment on table identities is 'accounts of customers on the channels of instances';
comment on column identities.id is 'random identifier, used in the API';
comment on column identities.customer_id is 'customer to whom the account belongs';
comment on column identities.instance_id is 'instance at which the account is used';
comment on column identities.channel is 'channel of the account';
comment on column identities.external_id is 'name of the account on the channel; compared byte by byte';
comment on column identities.display_name is 'name for people to read; null: not given';
comment on column identities.role_override is 'role of the identity; null: owner if the customer owns the instance, otherwise customer';
comment on column identities.verified is 'true if the platform has verified that the account belongs to the customer';
comment on column identities.created_at is 'time when the identity was created';
comment on column identities.updated_at is 'time of the last change';

create index identities_customer on identities (customer_id, instance_id);
-- pin-admin lists the identities of a customer in this order.
create index identities_created on identities (customer_id, created_at, id);

grant select on identities to countersign_pin_internal;
grant select, insert, update, delete on identities to countersign_pin_admin;
