-- An enrolment link lets a person choose the PIN, so that no admin needs to know it. A customer has at most one link: a new link
-- replaces the earlier one.
-- +goose Up
create table pin_enrolments (
    customer_id uuid primary key references customers (id) on delete cascade,
    token_hash  bytea not null unique check (octet_length(token_hash) = 32),
    created_at  timestamptz not null default now(),
    expires_at  timestamptz not null,
    used_at     timestamptz
);
comment on table pin_enrolments is 'links with which customers choose their PIN';
comment on column pin_enrolments.customer_id is 'customer whose PIN the link sets';
comment on column pin_enrolments.token_hash is 'SHA-256 of the link''s token, which has 256 random bits';
comment on column pin_enrolments.created_at is 'time when the link was made';
comment on column pin_enrolments.expires_at is 'time after which the link sets no PIN';
comment on column pin_enrolments.used_at is 'time when the link set a PIN; null: not used';

grant select, insert, update, delete on pin_enrolments to countersign_pin_admin;
