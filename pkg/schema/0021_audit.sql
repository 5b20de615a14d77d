-- The audit trail records changes and refusals: who did what, when, from which address, and in which request. Services can add
-- rows but cannot change or delete them. Rows stay when the customer or user that they name is deleted, so the table has no
-- foreign keys.
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
comment on table audit is 'the audit trail';
comment on column audit.id is 'number of the row';
comment on column audit.at is 'time of the action';
comment on column audit.actor_kind is 'kind of the caller';
comment on column audit.actor_id is 'id of the caller''s user or key; null: an operator or an anonymous caller';
comment on column audit.action is 'noun.verb, for example pin.set';
comment on column audit.customer_id is 'customer that was changed; null: no customer';
comment on column audit.identity_id is 'identity that was changed; null: no identity';
comment on column audit.instance_id is 'instance that was changed, or at which the change was made; null: no instance';
comment on column audit.target_id is 'id of the key, user or user session that was changed; null: no key, user or user session was changed';
comment on column audit.request_id is 'X-Request-Id of the request';
comment on column audit.address is 'network address of the client; empty: an operator on the machine';
comment on column audit.details is 'what changed; never contains a secret';

-- pin-admin reads the trail from the newest row to the oldest, for one customer, instance or action, within a time range. With
-- the time in each index, a page costs the same in every time range.
create index audit_customer on audit (customer_id, at, id) where customer_id is not null;
create index audit_instance on audit (instance_id, at, id) where instance_id is not null;
create index audit_action on audit (action, at, id);
create index audit_at on audit (at, id);

grant insert on audit to countersign_auth, countersign_pin_internal, countersign_pin_admin;
grant select on audit to countersign_pin_admin;
