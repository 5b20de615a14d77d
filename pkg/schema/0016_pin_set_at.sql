-- What was set lately is looked up every few seconds by every replica on which somebody waits for a PIN.
-- +goose Up
create index pin_holders_set_at on pin_holders (pin_set_at) where identity_id is null;
