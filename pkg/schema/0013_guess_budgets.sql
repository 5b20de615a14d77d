-- Guess budgets of passwords and second factors. The columns from charged to deactivated_by mean the same as in pin_holders.
-- The budgets are not in the table users, because guesses for an address without a user must be limited in the same way as
-- for an address with a user. Otherwise an attacker could find out which addresses have an account.
-- +goose Up
create table guess_budgets (
    subject        bytea primary key check (octet_length(subject) = 32),
    kind           text not null check (kind in ('password', 'second_factor')),

    charged        bigint not null default 0,
    window_start   bigint not null default 0,
    forgiven       bigint not null default 0,
    locks          integer not null default 0,
    locked_until   timestamptz,
    locked_by      bigint not null default 0,
    deactivated_by bigint,
    charged_at     timestamptz not null default now(),

    check (0 <= forgiven and forgiven <= window_start and window_start <= charged)
) with (fillfactor = 70);
comment on table guess_budgets is 'guess budgets of passwords and second factors';
comment on column guess_budgets.subject is 'SHA-256 of the kind and the owner of the secret: an address (password) or a user''s id (second factor)';
comment on column guess_budgets.kind is 'kind of the secret';
comment on column guess_budgets.charged is 'number of the last charged attempt';
comment on column guess_budgets.window_start is 'attempts up to this number do not count towards the next lock';
comment on column guess_budgets.forgiven is 'attempts up to this number do not count as consecutive failures';
comment on column guess_budgets.locks is 'number of locks since the last right attempt; each lock is twice as long as the one before';
comment on column guess_budgets.locked_until is 'end of the last lock; null: no lock';
comment on column guess_budgets.locked_by is 'number of the attempt that wrote the last lock; 0: no lock yet';
comment on column guess_budgets.deactivated_by is 'number of the attempt that used up the budget; null: not used up';
comment on column guess_budgets.charged_at is 'time of the last charge; auth deletes password budgets that were not used for a day';

create index guess_budgets_charged_at on guess_budgets (charged_at);

grant select, insert, update, delete on guess_budgets to countersign_auth;
