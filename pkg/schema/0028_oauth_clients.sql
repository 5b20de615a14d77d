-- OAuth clients: an API key can be exchanged at auth for an access token, so auth looks keys up by their hashes and notes that
-- they are used. It cannot make, change or revoke one.
-- +goose Up
grant select (id, key_hash, scopes, expires_at, revoked_at, last_used_at), update (last_used_at) on api_keys to countersign_auth;
