-- Signing keys overlap: the end of one is set when its successor is made, for the time when that will have been published
-- for long enough.
-- +goose Up
comment on column signing_keys.retired_at is 'from then on it signs nothing new; its tokens stay good until they expire';
