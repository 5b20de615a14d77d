-- Sign-ins that are half done: the password was right, and the second factor is awaited. They are kept here so that auth may be
-- restarted between the two steps, or the second one reach another replica.
-- +goose Up
create table login_challenges (
    token_hash          bytea primary key check (octet_length(token_hash) = 32),
    user_id             uuid not null references users (id) on delete cascade,
    password_generation uuid not null,
    expires_at          timestamptz not null
);
comment on column login_challenges.password_generation is 'of the password that was compared; when it is no longer the user''s, the challenge is over';
create index login_challenges_user on login_challenges (user_id, expires_at);

grant select, insert, delete on login_challenges to countersign_auth;
