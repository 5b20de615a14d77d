-- Each vendor now has a state of its own for a user: its latest event. A vendor that rejected the user decides, however new the
-- events of other vendors are, until this vendor approves or resets the user, or an operator resolves the rejection. A new start
-- with this vendor does not end the rejection: the user can start again at any time. An event of a user that does not exist
-- is not stored, so a vendor that repeats an event does not create a row of a deleted user again.
-- +goose Up
delete from kyc_events where not exists (select from users where id = user_id);
drop trigger users_forget_kyc_events on users;
drop function forget_kyc_events();
alter table kyc_events add foreign key (user_id) references users (id) on delete cascade;
comment on column kyc_events.user_id is 'user that the event is about';
comment on column kyc_events.event_id is 'the vendor''s id of the event; "sha256:" and the hash of the body if the vendor sends no id; "operator:" and a random id for operator.resolved';
comment on column kyc_events.type is 'the vendor''s name of the event; operator.resolved: an operator resolved the vendor''s rejection, so the vendor''s events until then do not count';

-- If two events have the same time, the more serious status decides, so that the order of arrival never matters.
create or replace view kyc_states as
select u.id as user_id, e.provider, e.status, e.level, e.reject_labels, e.occurred_at, e.received_at
  from users u
 cross join lateral (
       select latest.*
         from (select distinct on (provider)
                      provider, type, status, level, reject_labels, occurred_at, received_at, severity,
                      first_value(status) over (
                          partition by provider
                          order by status in ('approved', 'rejected', 'not_started') desc, occurred_at desc, severity desc
                      ) = 'rejected' as rejects
                 from (select *, array_position(array['not_started', 'pending', 'in_review', 'approved', 'on_hold', 'resubmission_requested', 'rejected'], status) as severity
                         from kyc_events where user_id = u.id) event
                order by provider, occurred_at desc, severity desc, event_id) latest
        where latest.type <> 'operator.resolved'
        order by latest.rejects desc, latest.status = 'rejected' desc, latest.occurred_at desc, latest.severity desc, latest.provider
        limit 1) e;
comment on view kyc_states is 'the identity-verification event that decides for each user: the latest event of a vendor that rejected the user and has not approved or reset the user since, otherwise the latest event; of each vendor, only the latest event counts';
