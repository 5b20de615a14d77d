-- The tables attempts and audit get a row for each verification and each change, so they are partitioned by month: dropping a
-- partition removes a month of rows at once. The partitions are made months ahead. A row for which no partition exists goes to
-- the default partition, so an insert never fails because of a missing partition.
-- +goose Up

-- The function makes the missing partitions of a table, from this month to three months ahead, and a partition for each month
-- of which the default partition has rows. It moves these rows there before it attaches the partition, so no trigger of the table
-- runs again for them. Then it drops each partition whose month ended before now() - keep. keep = null: it drops nothing. Its
-- locks stop inserts for some milliseconds. If it does not get a lock within half a second, it changes nothing.
-- +goose StatementBegin
create function keep_partitions(parent name, at_column name, keep interval) returns void language plpgsql
    set search_path = public, pg_temp set timezone = 'UTC' set lock_timeout = '500ms' as $$
declare
    last_month constant timestamptz := date_trunc('month', now()) + interval '3 months';
    month      timestamptz;
    part       name;
begin
    for month in execute format(
        'select generate_series(date_trunc(''month'', now()), $1, interval ''1 month'') '
        'union select distinct date_trunc(''month'', %I) from %I where %1$I < $1 + interval ''1 month''',
        at_column, parent || '_default') using last_month
    loop
        part := parent || to_char(month, '_YYYY_MM');
        continue when to_regclass(part) is not null;
        -- No insert may choose a partition while a partition is added.
        execute format('lock table %I in access exclusive mode', parent);
        continue when to_regclass(part) is not null; -- another replica has made it meanwhile
        execute format('create table %I (like %I including all excluding identity)', part, parent);
        execute format('comment on table %I is %L', part, 'rows of ' || parent || ' of one month (UTC)');
        execute format('with moved as (delete from %I where %I >= $1 and %2$I < $1 + interval ''1 month'' returning *) '
                       'insert into %I select * from moved', parent || '_default', at_column, part) using month;
        execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, part, month, month + interval '1 month');
    end loop;
    for part in
        select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = format('public.%I', parent)::regclass and c.relname ~ '_\d{4}_\d{2}$'
           and c.relname < parent || to_char(now() - keep, '_YYYY_MM')
    loop
        execute format('drop table %I', part);
    end loop;
end
$$;
-- +goose StatementEnd
comment on function keep_partitions is 'makes the partitions of a table some months ahead, and drops the partitions that are older than an interval';
revoke execute on function keep_partitions(name, name, interval) from public;

-- Service roles do not own tables, so they cannot drop a partition. These two functions do it for the role that prunes. Each
-- refuses a short period, so that an intruder who has that role cannot remove recent rows.
-- +goose StatementBegin
create function prune_attempts(keep interval) returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if keep is null or keep < interval '7 days' then
        raise exception 'attempts must be kept for at least 7 days';
    end if;
    perform keep_partitions('attempts', 'charged_at', keep);
end
$$;
-- +goose StatementEnd
comment on function prune_attempts is 'makes the partitions of attempts, and drops those that are older than an interval of at least 7 days';
revoke execute on function prune_attempts(interval) from public;
grant execute on function prune_attempts(interval) to countersign_pin_admin;

-- +goose StatementBegin
create function prune_audit(keep interval) returns void language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if keep < interval '90 days' then
        raise exception 'the audit trail must be kept for at least 90 days';
    end if;
    perform keep_partitions('audit', 'at', keep);
end
$$;
-- +goose StatementEnd
comment on function prune_audit is 'makes the partitions of audit, and drops those that are older than an interval of at least 90 days; null: keeps all';
revoke execute on function prune_audit(interval) from public;
grant execute on function prune_audit(interval) to countersign_pin_admin;

create temporary table kept_attempts on commit drop as table attempts;
drop table attempts;
-- The primary key of a partitioned table must contain the column that selects the partition. So the table itself does not
-- guarantee that a number is unique for its holder; the statement that charges does, because it counts in the holder's row.
-- There is no foreign key: with one, dropping a partition would also lock pin_holders. The trigger below replaces it. Its function
-- has the rights of the owner, because no service may delete attempts.
create table attempts (
    holder_id   uuid not null,
    number      bigint not null,
    instance_id uuid not null,
    request_id  text not null,
    charged_at  timestamptz not null default now(),
    outcome     text check (outcome in ('right', 'wrong', 'lost')),
    settled_at  timestamptz,
    primary key (holder_id, number, charged_at)
) partition by range (charged_at);
comment on table attempts is 'charged attempts to verify a PIN, one partition for each month';
comment on column attempts.holder_id is 'holder whose budget was charged';
comment on column attempts.number is 'number of the attempt: 1, 2, 3 and so on for each holder';
comment on column attempts.instance_id is 'instance that sent the attempt; all zeros: the customer, who was signed in at pin-admin';
comment on column attempts.request_id is 'X-Request-Id of the request';
comment on column attempts.charged_at is 'time when the attempt was charged';
comment on column attempts.outcome is 'outcome of the comparison; lost: right, but too late or for a PIN that was replaced meanwhile; null: the outcome was never written';
comment on column attempts.settled_at is 'time when the outcome was written; null: never';

create table attempts_default (like attempts including all excluding identity);
alter table attempts attach partition attempts_default default;
comment on table attempts_default is 'attempts of months without a partition; empty unless pruning is late or a clock was wrong';
insert into attempts (holder_id, number, instance_id, request_id, charged_at, outcome, settled_at)
select holder_id, number, instance_id, request_id, charged_at, outcome, settled_at from kept_attempts;
select keep_partitions('attempts', 'charged_at', null);

-- +goose StatementBegin
create function forget_attempts() returns trigger language plpgsql security definer set search_path = public, pg_temp as $$
begin
    delete from attempts where holder_id = old.holder_id;
    return null;
end
$$;
-- +goose StatementEnd
comment on function forget_attempts is 'deletes the attempts of a deleted holder';
create trigger pin_holders_forget_attempts after delete on pin_holders for each row execute function forget_attempts();

grant select, insert, update on attempts to countersign_pin_internal;
grant select, insert, update on attempts to countersign_pin_admin;

create temporary table kept_audit on commit drop as table audit;
drop table audit;
create table audit (
    id          bigint generated always as identity,
    at          timestamptz not null default now(),
    actor_kind  text not null check (actor_kind in ('user', 'api_key', 'proxy_key', 'operator', 'anonymous')),
    actor_id    uuid,
    action      text not null,
    customer_id uuid,
    identity_id uuid,
    instance_id uuid,
    target_id   uuid,
    request_id  text not null,
    address     text not null,
    details     jsonb not null default '{}',
    primary key (at, id)
) partition by range (at);
comment on table audit is 'the audit trail, one partition for each month';
comment on column audit.id is 'number of the row';
comment on column audit.at is 'time of the action';
comment on column audit.actor_kind is 'kind of the caller';
comment on column audit.actor_id is 'id of the caller''s user or key; null: an operator or an anonymous caller';
comment on column audit.action is 'noun.verb, for example pin.set';
comment on column audit.customer_id is 'customer that was changed; null: no customer';
comment on column audit.identity_id is 'identity that was changed; null: no identity';
comment on column audit.instance_id is 'instance that was changed, or at which the change was made; null: no instance';
comment on column audit.target_id is 'id of the key, user or user session that was changed; null: no key, user or user session was changed';
comment on column audit.request_id is 'X-Request-Id of the request';
comment on column audit.address is 'network address of the client; empty: an operator on the machine';
comment on column audit.details is 'what changed; never contains a secret';

-- pin-admin reads the trail from the newest row to the oldest, for one customer, instance or action, within a time range. With
-- the time in each index, a page costs the same in every time range. The primary key serves the trail without a filter.
create index audit_customer on audit (customer_id, at, id) where customer_id is not null;
create index audit_instance on audit (instance_id, at, id) where instance_id is not null;
create index audit_action on audit (action, at, id);

create table audit_default (like audit including all excluding identity);
alter table audit attach partition audit_default default;
comment on table audit_default is 'rows of the audit trail of months without a partition; empty unless pruning is late or a clock was wrong';
insert into audit (id, at, actor_kind, actor_id, action, customer_id, identity_id, instance_id, target_id, request_id, address, details)
overriding system value
select id, at, actor_kind, actor_id, action, customer_id, identity_id, instance_id, target_id, request_id, address, details from kept_audit;
select setval(pg_get_serial_sequence('audit', 'id'), max(id)) from audit having max(id) is not null;
select keep_partitions('audit', 'at', null);

grant insert on audit to countersign_auth, countersign_pin_internal, countersign_pin_admin;
grant select on audit to countersign_pin_admin;
