-- Self-service: a customer who is signed in changes their own PIN with the current one, which pin-admin checks within the
-- same budget as pin-internal does, and so charges.
-- +goose Up
comment on column attempts.instance_id is 'through which instance the guess came; all zeros: from the customer, who was signed in';
grant insert, update on attempts to countersign_pin_admin;
