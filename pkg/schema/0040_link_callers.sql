-- A person who follows a link gives a PIN without a credential. The audit trail names the approval that the link belongs to, and the
-- mail about a lock names the page.
-- +goose Up
-- A partition keeps a constraint of its own when its table loses the constraint.
-- +goose StatementBegin
do $$
declare
    part regclass;
begin
    for part in select relid from pg_partition_tree('audit') order by level loop
        execute format('alter table %s drop constraint if exists audit_actor_kind_check', part);
    end loop;
end
$$;
-- +goose StatementEnd
alter table audit add constraint audit_actor_kind_check
    check (actor_kind in ('user', 'api_key', 'proxy_key', 'link', 'operator', 'anonymous'));
comment on column audit.actor_kind is 'kind of the caller; link: a person who followed the link of an approval or of an enrolment';
comment on column audit.actor_id is 'id of the caller''s user, key or approval; null: an enrolment link, an operator or an anonymous caller';

-- +goose StatementBegin
create or replace function mail_pin_event() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    event  constant text := replace(new.action, '.', '_');
    locked constant boolean := new.action = 'pin.locked';
begin
    insert into mails (id, customer_id, address, kind, source, expires_at)
    select gen_random_uuid(), c.id, c.email, event,
           case when exists (select from users u where new.actor_kind = 'user' and u.id = new.actor_id and lower(u.email) = lower(c.email)) then new.address
                when new.actor_kind = 'proxy_key' then 'an agent of this service'
                when new.actor_kind = 'link' and new.actor_id is null then 'an enrolment link'
                when new.actor_kind = 'link' then 'the approval page'
                else 'an administrator of this service' end,
           now() + interval '1 day'
      from customers c
     where c.id = new.customer_id
       and (select count(*) from mails m where m.customer_id = c.id and m.kind = event
               and m.created_at > now() - case when locked then interval '1 day' else interval '1 hour' end) < case when locked then 1 else 10 end;
    return null;
end
$$;
-- +goose StatementEnd
