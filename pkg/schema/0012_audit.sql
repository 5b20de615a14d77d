-- The audit trail: who changed what, when, from where, by which request. Services may add to it and never change it; it
-- outlives what it speaks of, so it references nothing.
-- +goose Up
create table audit (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default now(),
    actor_kind  text not null check (actor_kind in ('user', 'api_key', 'proxy_key', 'operator', 'anonymous')),
    actor_id    uuid,
    action      text not null,
    customer_id uuid,
    identity_id uuid,
    instance_id uuid,
    target_id   uuid,
    request_id  text not null,
    address     text not null,
    details     jsonb not null default '{}'
);
comment on column audit.action is 'noun.verb, as pin.set';
comment on column audit.target_id is 'what was changed when it is none of the three before: a key, a user, a sign-in session';
comment on column audit.address is 'the client''s address; empty for an operator at the machine';
comment on column audit.details is 'what changed, without any secret';
create index audit_customer on audit (customer_id, id) where customer_id is not null;
create index audit_instance on audit (instance_id, id) where instance_id is not null;
create index audit_action on audit (action, id);
create index audit_at on audit (at);

grant insert on audit to countersign_auth, countersign_pin_internal, countersign_pin_admin;
grant select on audit to countersign_pin_admin;
