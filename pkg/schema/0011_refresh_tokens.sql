-- A refresh replaces the refresh token of a session. The replaced tokens stay in this table, so that auth recognizes them. A
-- token that is older than the current one and the one before it was probably stolen. If it is presented, auth revokes the
-- session.
-- +goose Up
create table refresh_tokens (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    session_id uuid not null references user_sessions (id) on delete cascade,
    number     bigint not null,
    unique (session_id, number)
);
comment on table refresh_tokens is 'all refresh tokens of all sessions, current and replaced';
comment on column refresh_tokens.token_hash is 'SHA-256 of the token; a token has 256 random bits';
comment on column refresh_tokens.session_id is 'session of the token';
comment on column refresh_tokens.number is 'number of the token: 1, 2, 3 and so on for each session';

grant select, insert, update, delete on refresh_tokens to countersign_auth;
