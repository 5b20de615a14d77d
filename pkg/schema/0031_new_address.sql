-- A user can change the email address. The customer with the old address is the same person, so auth gives the customer the new
-- address in the same transaction.
-- +goose Up
grant update (email, updated_at) on customers to countersign_auth;
