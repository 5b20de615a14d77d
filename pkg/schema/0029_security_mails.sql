-- Security mails tell a person about a change of the account or of a PIN that an attacker might have made. A mail about a PIN
-- goes to a customer, who may have no user. The link of a mail about a new address goes to an address that no user has yet.
-- +goose Up
alter table mails
    alter column user_id drop not null,
    add column customer_id uuid,
    add column address text check (char_length(address) between 3 and 254),
    add column source text,
    add check (num_nonnulls(user_id, customer_id) = 1),
    drop constraint mails_kind_check,
    add constraint mails_kind_check check (kind in (
        'confirm', 'reset', 'notice', 'new_address', 'address_in_use', 'address_requested', 'address_changed', 'password_changed',
        'factor_added', 'factor_removed', 'recovery_codes_replaced', 'recovery_code_used', 'new_network',
        'pin_set', 'pin_removed', 'pin_locked', 'pin_deactivated'));
comment on table mails is 'mails to users and customers, sent and unsent';
comment on column mails.user_id is 'user that receives the mail; null: a customer receives it';
comment on column mails.customer_id is 'customer that receives the mail; null: a user receives it; no foreign key, because a lock of a PIN must not wait for a lock on the customer''s row';
comment on column mails.address is 'address that the mail is sent to; null: the present address of the user; a security mail goes to the address that the person had at the event, also if an attacker has changed it since';
comment on column mails.source is 'security mails: who caused the event, or from which network address; null: another kind';
comment on column mails.kind is 'confirm: the link proves that the address of a signup is the user''s; reset: the link sets a new password; notice: says that the address is already registered, without a link; new_address: the link changes the user''s address to this address; every other kind: a security mail about this event, without a link';
comment on column mails.used_at is 'time when this link, or another link of the user that it replaces, was followed or withdrawn; null: not used';

create index mails_customer on mails (customer_id, kind) where customer_id is not null;

-- The services that change PINs write every change to the audit trail. They may not read users or write mails, so this trigger
-- writes the mail, in the transaction of the change. A person gets at most one mail a day about locks, and at most ten an hour
-- about each other event.
-- +goose StatementBegin
create function mail_pin_event() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
declare
    event  constant text := replace(new.action, '.', '_');
    locked constant boolean := new.action = 'pin.locked';
begin
    insert into mails (id, customer_id, address, kind, source, expires_at)
    select gen_random_uuid(), c.id, c.email, event,
           case when exists (select from users u where new.actor_kind = 'user' and u.id = new.actor_id and lower(u.email) = lower(c.email)) then new.address
                when new.actor_kind = 'proxy_key' then 'an agent of this service'
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
comment on function mail_pin_event is 'writes the security mail about a change or a lock of a PIN';
revoke execute on function mail_pin_event() from public;

create trigger mail_pin_event after insert on audit for each row
    when (new.action in ('pin.set', 'pin.removed', 'pin.locked', 'pin.deactivated'))
    execute function mail_pin_event();

grant select (id, email) on customers to countersign_auth;
