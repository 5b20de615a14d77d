-- An instance's PIN policy: columns of the instance, so that there is one place for the defaults and never a missing row.
-- +goose Up
alter table instances
    add column pin_applies_to text not null default 'all'
        check (pin_applies_to in ('all', 'owner', 'customer')),
    add column pin_required_skills text[] not null default '{}',
    add column pin_session_ttl_minutes integer not null default 30
        check (pin_session_ttl_minutes between 1 and 1440),
    add column pin_change_requires_proof boolean not null default false;
comment on column instances.pin_required_skills is 'names, or prefixes that end in *; empty protects nothing';
comment on column instances.pin_change_requires_proof is 'true: an agent that sets or removes a PIN must prove the one that applies';
