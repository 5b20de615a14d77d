-- pkg/retention deletes old rows once a minute. These indexes find them.
-- +goose Up
create index user_sessions_ended on user_sessions (least(revoked_at, expires_at));
create index users_unconfirmed on users (created_at) where email_confirmed_at is null;
create index login_challenges_expiry on login_challenges (expires_at);

-- Budgets without failures are deleted soon, budgets with failures after a long time. With one index for each, no run reads the
-- rows of the other.
drop index guess_budgets_charged_at;
create index guess_budgets_without_failures on guess_budgets (charged_at) where charged = forgiven;
create index guess_budgets_with_failures on guess_budgets (charged_at) where charged > forgiven;
