-- An admin registers the skills of an instance that need more than the policy's list says: a skill that is always open, one that
-- needs a PIN session, and one that needs an approval of each single action. The title and the summary are what a person reads
-- before the approval. The operator writes them, never the model.
-- +goose Up
create table skills (
    id          uuid primary key default gen_random_uuid(),
    instance_id uuid not null references instances (id) on delete cascade,
    skill       text not null check (char_length(skill) between 1 and 255),
    mode        text not null check (mode in ('open', 'session', 'approval')),
    title       text check (char_length(title) between 1 and 100),
    summary     text check (char_length(summary) between 1 and 500),
    arguments   text check (octet_length(arguments) <= 16384),
    audience    text check (char_length(audience) between 1 and 255),
    version     uuid not null default gen_random_uuid(),
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now()
);
comment on table skills is 'registered skills of the instances';
comment on column skills.id is 'random identifier';
comment on column skills.instance_id is 'instance that the skill belongs to';
comment on column skills.skill is 'name in its registered spelling; the spelling that is part of an action''s hash';
comment on column skills.mode is 'open: needs nothing; session: needs a PIN session; approval: each action needs an approval of its own';
comment on column skills.title is 'headline for people; null: the name of the skill';
comment on column skills.summary is 'template with {dotted.path} placeholders, which the arguments fill; null: people see the arguments only';
comment on column skills.arguments is 'JSON Schema of the arguments, as text; null: every object is accepted';
comment on column skills.audience is 'audience of the receipts; null: the request names it';
comment on column skills.version is 'random, new for each change of the row, so that a program can keep what it computed from it';
comment on column skills.created_at is 'time when the skill was registered';
comment on column skills.updated_at is 'time of the last change';

-- Names are compared without regard to the case of ASCII letters. Under the collation C, lower changes no other letter.
create unique index skills_name on skills (instance_id, lower(skill collate "C"));

grant select on skills to countersign_pin_internal;
grant select, insert, update, delete on skills to countersign_pin_admin;

alter table instances
    add column pin_entry text not null default 'any' check (pin_entry in ('any', 'page')),
    add column approval_known_browser boolean not null default false;
comment on column instances.pin_entry is 'policy: any: an agent may relay, set and remove PINs; page: a person gives a PIN only to a page of Countersign';
comment on column instances.approval_known_browser is 'policy: true if a link approves only in a browser in which the person gave the PIN before';
