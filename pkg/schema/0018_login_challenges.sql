-- A sign-in with a second factor has two steps. After the right password, auth writes a challenge here and waits for the code.
-- The challenge is in the database, so that auth can restart between the steps, and another replica can do the second step.
-- +goose Up
create table login_challenges (
    token_hash          bytea primary key check (octet_length(token_hash) = 32),
    user_id             uuid not null references users (id) on delete cascade,
    password_generation uuid not null,
    expires_at          timestamptz not null
);
comment on table login_challenges is 'sign-ins that wait for a second factor';
comment on column login_challenges.token_hash is 'SHA-256 of the challenge''s token; a token has 256 random bits';
comment on column login_challenges.user_id is 'user that signs in';
comment on column login_challenges.password_generation is 'users.password_generation of the compared password; the challenge is invalid if the user has another password now';
comment on column login_challenges.expires_at is 'time from which the challenge is invalid';

create index login_challenges_user on login_challenges (user_id, expires_at);

grant select, insert, delete on login_challenges to countersign_auth;
