-- A holder is the customer or the identity that a PIN belongs to. Its row contains the PIN and the guess budget. Both are in
-- one row, so that one UPDATE charges an attempt and reads the verifier at the same moment. The row, and so the budget, stays
-- when the PIN is removed.
--
-- The charged attempts of a holder are numbered 1, 2, 3 and so on. The budget is stored as numbers of attempts, not as a
-- counter that must be reset:
--   charged - window_start  attempts were charged since the window began (5 of them lock the PIN)
--   charged - forgiven      attempts failed since the last right PIN (50 of them deactivate the PIN)
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
comment on table pin_holders is 'PINs and the guess budgets of their holders';
comment on column pin_holders.holder_id is 'identity_id if the PIN belongs to an identity, otherwise customer_id';
comment on column pin_holders.customer_id is 'the holder, or the customer of the identity that is the holder';
comment on column pin_holders.identity_id is 'identity that is the holder; null: the customer is the holder';
comment on column pin_holders.verifier is 'stored value that a PIN is checked against: a PHC string, Argon2id over the PIN''s HMAC under the pepper, with the pepper''s key id; null: no PIN';
comment on column pin_holders.generation is 'random, new for each PIN that is set; the result of a comparison counts only for the PIN that was compared';
comment on column pin_holders.pin_set_at is 'time when the PIN was set; null: no PIN';
comment on column pin_holders.session_generation is 'random, new after every set, removal and lock; a session is valid only with the current value';
comment on column pin_holders.charged is 'number of the last charged attempt';
comment on column pin_holders.window_start is 'attempts up to this number do not count towards the next lock';
comment on column pin_holders.forgiven is 'attempts up to this number do not count as consecutive failures';
comment on column pin_holders.locks is 'number of locks since the last right PIN; each lock is twice as long as the one before';
comment on column pin_holders.locked_until is 'end of the last lock; null: no lock';
comment on column pin_holders.locked_by is 'number of the attempt that wrote the last lock; 0: no lock yet';
comment on column pin_holders.deactivated_by is 'number of the attempt that deactivated the PIN; null: not deactivated';

create index pin_holders_customer on pin_holders (customer_id);
create index pin_holders_identity on pin_holders (identity_id);
-- While a request waits for a PIN to be set, its replica reads the latest PINs every few seconds.
create index pin_holders_set_at on pin_holders (pin_set_at) where identity_id is null;

grant select, insert, update on pin_holders to countersign_pin_internal, countersign_pin_admin;
