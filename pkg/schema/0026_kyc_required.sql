-- An instance's policy may demand that people are identified (KYC) before a PIN is set for them. Who sets PINs sees which
-- customers are, and nothing else of users and of what vendors said.
-- +goose Up
alter table instances add column kyc_required boolean not null default false;
comment on column instances.kyc_required is 'true: a PIN that applies here is set only for a customer whose identity is verified, or by an admin';

create view kyc_approvals as
select c.id as customer_id
  from customers c
  join users u on lower(u.email) = lower(c.email) and u.email_confirmed_at is not null
  join kyc_states s on s.user_id = u.id and s.status = 'approved';

grant select on kyc_approvals to countersign_pin_internal, countersign_pin_admin;
