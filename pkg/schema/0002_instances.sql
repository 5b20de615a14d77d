-- An instance is one running agent. Instances separate tenants: a proxy key can use only the data of its own instance. The
-- PIN policy is stored in the columns of the instance. So a policy always exists, and its defaults are defined only here.
-- +goose Up
create table instances (
    id                        uuid primary key default gen_random_uuid(),
    name                      text not null check (char_length(name) between 1 and 255),
    owner_customer_id         uuid references customers (id) on delete restrict,

    pin_applies_to            text not null default 'all' check (pin_applies_to in ('all', 'owner', 'customer')),
    pin_required_skills       text[] not null default '{}',
    pin_session_ttl_minutes   integer not null default 30 check (pin_session_ttl_minutes between 1 and 1440),
    pin_change_requires_proof boolean not null default false,
    kyc_required              boolean not null default false,

    created_at                timestamptz not null default now(),
    updated_at                timestamptz not null default now()
);
comment on table instances is 'running agents, each with its PIN policy';
comment on column instances.id is 'random identifier, used in the API';
comment on column instances.name is 'name for people to read; need not be unique';
comment on column instances.owner_customer_id is 'customer that owns the instance and cannot be deleted while it does; null: no owner';
comment on column instances.pin_applies_to is 'policy: the role that must confirm with a PIN';
comment on column instances.pin_required_skills is 'policy: names of protected skills, or prefixes that end in *; empty: no skill is protected';
comment on column instances.pin_session_ttl_minutes is 'policy: minutes for which a confirmation is remembered';
comment on column instances.pin_change_requires_proof is 'policy: true if an agent must prove the current PIN before it sets or removes a PIN';
comment on column instances.kyc_required is 'policy: true if only an admin may set a PIN for a customer whose identity is not verified (KYC)';
comment on column instances.created_at is 'time when the instance was created';
comment on column instances.updated_at is 'time of the last change of the instance or its policy';

create index instances_owner on instances (owner_customer_id);
-- pin-admin lists instances by each of these orders.
create index instances_created on instances (created_at, id);
create index instances_name on instances (lower(name), id);

grant select on instances to countersign_pin_internal;
grant select, insert, update, delete on instances to countersign_pin_admin;
