-- The audit trail is read from the newest row to older ones, by time and then by id, for one customer, instance or action,
-- within a span of time. With the time in each index a page costs the same wherever the span lies.
-- +goose Up
drop index audit_customer, audit_instance, audit_action, audit_at;
create index audit_customer on audit (customer_id, at, id) where customer_id is not null;
create index audit_instance on audit (instance_id, at, id) where instance_id is not null;
create index audit_action on audit (action, at, id);
create index audit_at on audit (at, id);
