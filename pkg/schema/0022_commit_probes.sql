-- After a charge that Postgres did not confirm, a replica charges nothing until a write to this table is confirmed. The write
-- must be a real one: only a commit that has written something waits for a synchronous standby.
-- +goose Up
create table commit_probes (
    role name primary key,
    at   timestamptz not null default now()
);
comment on table commit_probes is 'the last write by which a replica found out whether Postgres confirms commits again';
comment on column commit_probes.role is 'role of the service';
comment on column commit_probes.at is 'time of the write';

grant select, insert, update on commit_probes to countersign_auth, countersign_pin_internal, countersign_pin_admin;
