-- Attempts: a row for each charged guess, written by the statement that charges it. An attempt without an outcome was
-- lost (its replica died, its client or the database went away) and is a failure like any other.
-- +goose Up
create table attempts (
    holder_id   uuid not null references pin_holders (holder_id) on delete cascade,
    number      bigint not null,
    instance_id uuid not null,
    request_id  text not null,
    charged_at  timestamptz not null default now(),
    outcome     text check (outcome in ('right', 'wrong', 'lost')),
    settled_at  timestamptz,
    primary key (holder_id, number)
);
comment on column attempts.number is 'the place on the holder''s line of attempts';
comment on column attempts.instance_id is 'through which instance the guess came';
comment on column attempts.outcome is 'null: never settled; lost: right, but too late or for a PIN that was replaced meanwhile';

grant select, insert, update on attempts to countersign_pin_internal;
grant select on attempts to countersign_pin_admin;
