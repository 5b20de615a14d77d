-- Guess budgets of secrets that are not PINs: passwords and second factors. The marks are those of pin_holders. They stand
-- apart from the secrets, since an address that nobody has must be guessed at under the same budget as one that somebody has.
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
comment on column guess_budgets.subject is 'SHA-256 of the kind and of whose secret it is: an address or a user''s id';
comment on column guess_budgets.charged is 'number of the last charged attempt';
comment on column guess_budgets.window_start is 'attempts up to this number no longer count towards the next lock';
comment on column guess_budgets.forgiven is 'attempts up to this number no longer count as consecutive failures';
comment on column guess_budgets.locks is 'locks since the last right guess; each doubles the next';
comment on column guess_budgets.locked_by is 'number of the attempt that wrote the last lock';
comment on column guess_budgets.deactivated_by is 'number of the last attempt ever; null: there may be more';
comment on column guess_budgets.charged_at is 'when the last attempt was charged, so that budgets of long ago can go';
create index guess_budgets_charged_at on guess_budgets (charged_at);

grant select, insert, update, delete on guess_budgets to countersign_auth;
