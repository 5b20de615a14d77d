-- An approval is the question to one person whether one action may be done, and the answer. Its row holds exactly what the person
-- was shown. Every change of its status is one conditional update of this row.
-- +goose Up
create table approvals (
    id                 uuid primary key,
    instance_id        uuid not null references instances (id) on delete cascade,
    customer_id        uuid not null references customers (id) on delete cascade,
    identity_id        uuid references identities (id) on delete cascade,
    proxy_key_id       uuid not null,
    requester          text,

    kind               text not null check (kind in ('action', 'session')),
    skill              text not null check (char_length(skill) between 1 and 255),
    audience           text check (char_length(audience) between 1 and 255),
    arguments          text not null check (octet_length(arguments) <= 16384),
    action_hash        bytea not null check (octet_length(action_hash) = 32),
    title              text,
    template           text,
    note               text check (char_length(note) <= 500),

    nonce              bytea not null check (octet_length(nonce) = 32),
    key_id             text not null,
    link_hash          bytea not null unique check (octet_length(link_hash) = 32),

    status             text not null default 'pending' check (status in ('pending', 'approved', 'denied', 'expired', 'cancelled', 'used')),
    reason             text check (reason in ('wrong_pin', 'person', 'pin_changed')),
    created_at         timestamptz not null default now(),
    expires_at         timestamptz not null,
    tries              smallint not null default 0,
    wrong              smallint not null default 0,
    tried_at           timestamptz,
    decided_at         timestamptz,

    holder_id          uuid,
    session_generation uuid,

    use_hash           bytea check (octet_length(use_hash) = 32),
    used_at            timestamptz,
    receipt_key_id     uuid,
    session_seconds    integer,

    check (0 <= wrong and wrong <= tries),
    check ((use_hash is null) = (used_at is null) and (status = 'used') = (used_at is not null)),
    check (status not in ('approved', 'used') or holder_id is not null and session_generation is not null and decided_at is not null)
) with (fillfactor = 80);
comment on table approvals is 'questions to people whether an agent may do one action, and their answers';
comment on column approvals.id is 'random identifier; the jti of the receipt';
comment on column approvals.instance_id is 'instance whose agent asked';
comment on column approvals.customer_id is 'customer who must answer';
comment on column approvals.identity_id is 'identity that the agent named; null: it named the customer';
comment on column approvals.proxy_key_id is 'proxy key that asked; no reference, because a key may be deleted';
comment on column approvals.requester is 'name of that proxy key; null: it has no name';
comment on column approvals.kind is 'what a use gives: a receipt for this action, or a PIN session';
comment on column approvals.skill is 'skill in the spelling that is part of the hash';
comment on column approvals.audience is 'audience of the receipt; null: none';
comment on column approvals.arguments is 'arguments in their canonical form (RFC 8785), as text, because jsonb would change them';
comment on column approvals.action_hash is 'SHA-256 of the canonical form of the action';
comment on column approvals.title is 'title of the skill when the agent asked; null: none';
comment on column approvals.template is 'summary template of the skill when the agent asked; null: none';
comment on column approvals.note is 'what the agent says about the action; null: nothing';
comment on column approvals.nonce is 'random; the link''s token and the session token are HMACs of it, so that a repeated request gets the same answer';
comment on column approvals.key_id is 'key of PIN_KEYS whose subkey makes these tokens';
comment on column approvals.link_hash is 'SHA-256 of the link''s token';
comment on column approvals.status is 'last status that was written; a pending or approved row whose time is over counts as expired before that is written';
comment on column approvals.reason is 'why it was denied or expired: wrong_pin: two wrong PINs; person: the person said no; pin_changed: the PIN was changed or locked after the approval; null: no reason';
comment on column approvals.created_at is 'time of the request';
comment on column approvals.expires_at is 'end of the time for the present status: for an answer, and after an approval for its use';
comment on column approvals.tries is 'number of PINs that were charged at this link: at most 2';
comment on column approvals.wrong is 'number of these PINs that were settled as wrong';
comment on column approvals.tried_at is 'time of the last charged PIN; null: none';
comment on column approvals.decided_at is 'time of the person''s answer; null: no answer';
comment on column approvals.holder_id is 'holder of the PIN that approved; null: not approved';
comment on column approvals.session_generation is 'session generation of that PIN at the approval; a use needs the same value; null: not approved';
comment on column approvals.use_hash is 'SHA-256 of the use_id that used the approval; null: not used';
comment on column approvals.used_at is 'time of the use; null: not used';
comment on column approvals.receipt_key_id is 'key that signed the receipt; null: no receipt';
comment on column approvals.session_seconds is 'lifetime of the session that the use made; null: no session';

-- The same request while its approval is pending returns that approval.
create unique index approvals_pending on approvals
    (instance_id, customer_id, coalesce(identity_id, '00000000-0000-0000-0000-000000000000'), action_hash, kind) where status = 'pending';
-- The limits count the approvals of a customer at an instance. A signed-in customer lists them.
create index approvals_customer on approvals (customer_id, instance_id, created_at);
create index approvals_identity on approvals (identity_id) where identity_id is not null;
create index approvals_instance on approvals (instance_id, created_at);
-- What must be written as expired.
create index approvals_open on approvals (expires_at) where status in ('pending', 'approved');
create index approvals_created on approvals (created_at, id);

grant select, insert, update on approvals to countersign_pin_internal;
grant select, update, delete on approvals to countersign_pin_admin;

-- The limits count the approvals of a customer at an instance. Requests that are counted at the same time would miss each other, so
-- each waits for the one before it. The query below begins after that wait, and so it sees what the other request has written: in a
-- volatile function, each query has a snapshot of its own. A plain statement has only the snapshot from before the wait.
-- +goose StatementBegin
create function recent_approvals(customer uuid, instance uuid, since interval)
    returns table (id uuid, identity_id uuid, kind text, skill text, action_hash bytea, status text, reason text,
                   created_at timestamptz, expires_at timestamptz, decided_at timestamptz, tries smallint, tried_at timestamptz)
    language plpgsql volatile rows 10 as $$
begin
    perform pg_advisory_xact_lock(hashtextextended('approvals of ' || customer || ' at ' || instance, 0));
    return query select a.id, a.identity_id, a.kind, a.skill, a.action_hash, a.status, a.reason, a.created_at, a.expires_at,
                        a.decided_at, a.tries, a.tried_at
                   from approvals a
                  where a.customer_id = customer and a.instance_id = instance and a.created_at > now() - since;
end
$$;
-- +goose StatementEnd
comment on function recent_approvals is 'locks the approvals of a customer at an instance against other requests, and returns those of the last time';
revoke execute on function recent_approvals(uuid, uuid, interval) from public;
grant execute on function recent_approvals(uuid, uuid, interval) to countersign_pin_internal;

-- A use of an approval may wait for a row while an identity gets its first PIN. The new row is visible only to a further query, and
-- each query of a volatile function sees what was committed when it began.
-- +goose StatementBegin
create function holds_pin(holder uuid) returns boolean language sql volatile set search_path = public, pg_temp as $$
    select exists (select from pin_holders h where h.holder_id = holder and h.verifier is not null)
$$;
-- +goose StatementEnd
comment on function holds_pin is 'whether a holder has a PIN at the time of the call, also if the statement began before';
revoke execute on function holds_pin(uuid) from public;
grant execute on function holds_pin(uuid) to countersign_pin_internal;
