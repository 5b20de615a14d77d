-- Lists: pin-admin pages through what there is, in a few orders, each of which has an index here or has had one before
-- (customers by address). Rows that are equal in a list's order follow by id.
-- +goose Up
create index customers_created on customers (created_at, id);
create index customers_display_name on customers (lower(display_name), id);
create index instances_created on instances (created_at, id);
create index instances_name on instances (lower(name), id);
create index identities_created on identities (customer_id, created_at, id);
create index api_keys_created on api_keys (created_at, id);
create index api_keys_name on api_keys (lower(name), id);
comment on column customers.email is 'in lower case; unique without regard to case';
