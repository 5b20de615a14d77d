-- Each charged attempt to verify a PIN has a row, which is written by the statement that charges it. An attempt without an
-- outcome counts as a failure. The outcome is missing if, for example, the replica or the database stopped.
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
comment on table attempts is 'charged attempts to verify a PIN';
comment on column attempts.holder_id is 'holder whose budget was charged';
comment on column attempts.number is 'number of the attempt: 1, 2, 3 and so on for each holder';
comment on column attempts.instance_id is 'instance that sent the attempt; all zeros: the customer, who was signed in at pin-admin';
comment on column attempts.request_id is 'X-Request-Id of the request';
comment on column attempts.charged_at is 'time when the attempt was charged';
comment on column attempts.outcome is 'outcome of the comparison; lost: right, but too late or for a PIN that was replaced meanwhile; null: the outcome was never written';
comment on column attempts.settled_at is 'time when the outcome was written; null: never';

grant select, insert, update on attempts to countersign_pin_internal;
grant select, insert, update on attempts to countersign_pin_admin;
