-- A row a holder: the PIN it has, if any, and the guess budget, which outlives the PIN. One row holds both, so that a
-- charge is a single UPDATE that sees the verifier and the budget of the same moment.
--
-- Charged attempts are numbered 1, 2, 3, … for each holder. The budget is a few marks on that line, and not a counter
-- that somebody has to put back: since the window began, charged - window_start attempts were spent (5 lock); since the
-- last right PIN, charged - forgiven failed (50 deactivate).
-- +goose Up
create table pin_holders (
    holder_id          uuid primary key,
    customer_id        uuid not null references customers (id) on delete cascade,
    identity_id        uuid references identities (id) on delete cascade,

    verifier           text,
    generation         uuid,
    pin_set_at         timestamptz,
    session_generation uuid not null default gen_random_uuid(),

    charged            bigint not null default 0,
    window_start       bigint not null default 0,
    forgiven           bigint not null default 0,
    locks              integer not null default 0,
    locked_until       timestamptz,
    locked_by          bigint not null default 0,
    deactivated_by     bigint,

    check (holder_id = coalesce(identity_id, customer_id)),
    check ((verifier is null) = (generation is null) and (verifier is null) = (pin_set_at is null)),
    check (0 <= forgiven and forgiven <= window_start and window_start <= charged)
) with (fillfactor = 70);
comment on column pin_holders.holder_id is 'the identity''s id when it is an identity''s own PIN, else the customer''s';
comment on column pin_holders.verifier is 'PHC string: Argon2id over the peppered PIN, with the pepper''s key id; null: no PIN';
comment on column pin_holders.generation is 'renewed whenever a PIN is set; a verdict counts only for the one it was reached on';
comment on column pin_holders.session_generation is 'renewed by every set, removal and lock: sessions of an older one are dead';
comment on column pin_holders.charged is 'number of the last charged attempt';
comment on column pin_holders.window_start is 'attempts up to this number no longer count towards the next lock';
comment on column pin_holders.forgiven is 'attempts up to this number no longer count as consecutive failures';
comment on column pin_holders.locks is 'locks since the last right PIN; each doubles the next';
comment on column pin_holders.locked_by is 'number of the attempt that wrote the last lock';
comment on column pin_holders.deactivated_by is 'number of the attempt that deactivated the PIN; null: not deactivated';
create index pin_holders_customer on pin_holders (customer_id);
create index pin_holders_identity on pin_holders (identity_id);

grant select, insert, update on pin_holders to countersign_pin_internal, countersign_pin_admin;
