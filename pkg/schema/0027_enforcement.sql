-- The source API leaves a skill open that the policy does not list, and every skill of a customer without a PIN. An instance
-- with strict enforcement protects both.
-- +goose Up
alter table instances add column enforcement text not null default 'listed' check (enforcement in ('listed', 'strict'));
comment on column instances.enforcement is 'policy: listed: only the skills in pin_required_skills need a PIN, and no PIN is needed if none is set; strict: every skill needs a PIN';
comment on column instances.pin_required_skills is 'policy: names of protected skills, or prefixes that end in *, compared without regard to case; empty: no skill is listed; strict enforcement ignores the list';
