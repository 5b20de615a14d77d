-- KYC: what vendors said about users' identities, each event once. A user's status is not kept but follows from the events:
-- the latest by the vendor's clock counts. So repeats and the order of arrival make no difference, an event that came
-- before its user is there when the user is, and there is nothing that could disagree with the events.
-- +goose Up
create table kyc_events (
    provider      text not null check (provider in ('sumsub', 'persona', 'onfido', 'veriff')),
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
comment on column kyc_events.event_id is 'the vendor''s, or sha256: and the hash of the body where it gives none';
comment on column kyc_events.user_id is 'no reference: the event may come before the user';
comment on column kyc_events.type is 'the vendor''s name for what happened';
comment on column kyc_events.occurred_at is 'by the vendor''s clock';
create index kyc_events_user on kyc_events (user_id, occurred_at);

-- Of two events of one moment the graver counts, so that even then the order of arrival makes no difference.
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

-- +goose StatementBegin
create function forget_kyc_events() returns trigger language plpgsql as $$
begin
    delete from kyc_events where user_id = old.id;
    return null;
end
$$;
-- +goose StatementEnd
create trigger users_forget_kyc_events after delete on users for each row execute function forget_kyc_events();

grant select, insert, delete on kyc_events to countersign_auth;
grant select on kyc_states to countersign_auth;
