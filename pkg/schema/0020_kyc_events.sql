-- Identity verification (KYC): each event that a vendor sent is stored once. A user's status is not stored. The view
-- kyc_states computes it: the latest event by the vendor's clock decides. So repeated events and events in another order give
-- the same status, an event may arrive before its user exists, and the status always agrees with the events.
-- +goose Up
create table kyc_events (
    provider      text not null check (provider ~ '^[a-z0-9_]{1,40}$'),
    event_id      text not null check (char_length(event_id) between 1 and 255),
    user_id       uuid not null,
    type          text not null,
    status        text not null
        check (status in ('not_started', 'pending', 'in_review', 'approved', 'on_hold', 'resubmission_requested', 'rejected')),
    level         text check (char_length(level) <= 255),
    reject_labels text[] not null default '{}',
    occurred_at   timestamptz not null,
    received_at   timestamptz not null default now(),
    primary key (provider, event_id)
);
comment on table kyc_events is 'identity-verification events sent by vendors';
comment on column kyc_events.provider is 'vendor that sent the event';
comment on column kyc_events.event_id is 'the vendor''s id of the event, or "sha256:" and the hash of the body if the vendor sends no id';
comment on column kyc_events.user_id is 'user that the event is about; not a foreign key, because the event may arrive before the user exists';
comment on column kyc_events.type is 'the vendor''s name of the event';
comment on column kyc_events.status is 'status of the user after the event, in the words of this product';
comment on column kyc_events.level is 'the vendor''s name of the verification level; null: not sent';
comment on column kyc_events.reject_labels is 'the vendor''s reasons for a rejection';
comment on column kyc_events.occurred_at is 'time of the event by the vendor''s clock';
comment on column kyc_events.received_at is 'time when the event was received';

create index kyc_events_user on kyc_events (user_id, occurred_at);

-- If two events have the same time, the more serious status decides, so that the order of arrival never matters.
create view kyc_states as
select u.id as user_id, e.provider, e.status, e.level, e.reject_labels, e.occurred_at, e.received_at
  from users u
 cross join lateral (
       select provider, status, level, reject_labels, occurred_at, received_at
         from kyc_events
        where user_id = u.id
        order by occurred_at desc,
                 array_position(array['not_started', 'pending', 'in_review', 'approved', 'on_hold', 'resubmission_requested', 'rejected'], status) desc,
                 provider, event_id
        limit 1) e;
comment on view kyc_states is 'the identity-verification event that decides for each user';

-- Services that set PINs read this view. It shows which customers are verified, and no other data of users or vendors.
create view kyc_approvals as
select c.id as customer_id
  from customers c
  join users u on lower(u.email) = lower(c.email) and u.email_confirmed_at is not null
  join kyc_states s on s.user_id = u.id and s.status = 'approved';
comment on view kyc_approvals is 'customers whose identity is verified';

-- A trigger deletes the events of a deleted user, because user_id is not a foreign key.
-- +goose StatementBegin
create function forget_kyc_events() returns trigger language plpgsql as $$
begin
    delete from kyc_events where user_id = old.id;
    return null;
end
$$;
-- +goose StatementEnd
comment on function forget_kyc_events is 'deletes the identity-verification events of a deleted user';
create trigger users_forget_kyc_events after delete on users for each row execute function forget_kyc_events();

grant select, insert, delete on kyc_events to countersign_auth;
grant select on kyc_states to countersign_auth;
grant select on kyc_approvals to countersign_pin_internal, countersign_pin_admin;
