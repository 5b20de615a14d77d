-- The parent of the current refresh token is accepted again only for a short time. A later use counts as reuse too.
-- +goose Up
comment on column user_sessions.refreshed_at is 'time of the last refresh; the token that it replaced is answered again for one minute';
comment on column user_sessions.revoked_why is 'reason of the revocation; reuse: a refresh token was presented that was replaced more than a minute before, or more than one refresh before';
comment on table refresh_tokens is 'all refresh tokens of all sessions, current and replaced; a replaced token that is presented too late ends its session';
