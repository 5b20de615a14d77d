-- Strangers, known networks and signed-in sessions have separate guess budgets, so that a stranger cannot lock the user out of
-- the other two. A budget is used up after 100 consecutive failures.
-- +goose Up
alter table guess_budgets drop constraint guess_budgets_kind_check;
alter table guess_budgets add constraint guess_budgets_kind_check
    check (kind in ('password', 'password_known_network', 'password_signed_in', 'second_factor', 'second_factor_signed_in'));
comment on table guess_budgets is 'guess budgets of passwords and second factors; logins from known networks and signed-in sessions have budgets of their own';
comment on column guess_budgets.subject is 'SHA-256 of the kind and whom it limits: an address (password), a user''s id and the hash of a network (password_known_network), or a user''s id (the others)';
comment on column guess_budgets.kind is 'kind of the secret, and of the callers that guess';
comment on column guess_budgets.charged_at is 'time of the last charge; pkg/retention deletes the row a day later if there are no failures; with failures, only the budgets of logins, after a long time';
