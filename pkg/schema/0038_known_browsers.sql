-- A browser is known after a person gave the right PIN in it. A known browser shows the phrase that the customer chose, so that
-- people notice a false page. A browser is known for one PIN: after the PIN is set again or removed, its row has an old generation,
-- and the browser is unknown.
-- +goose Up
create table known_browsers (
    browser_hash bytea not null check (octet_length(browser_hash) = 32),
    holder_id    uuid not null references pin_holders (holder_id) on delete cascade,
    generation   uuid not null,
    known_at     timestamptz not null default now(),
    used_at      timestamptz not null default now(),
    primary key (browser_hash, holder_id)
);
comment on table known_browsers is 'browsers in which people gave their PIN to a page of Countersign';
comment on column known_browsers.browser_hash is 'SHA-256 of the browser''s cookie, which has 256 random bits';
comment on column known_browsers.holder_id is 'holder of the PIN that was given';
comment on column known_browsers.generation is 'generation of that PIN; the browser is known only while the holder''s PIN has it';
comment on column known_browsers.known_at is 'time when the browser became known for this PIN';
comment on column known_browsers.used_at is 'time when a PIN was last given in it';

create index known_browsers_holder on known_browsers (holder_id);
create index known_browsers_used on known_browsers (used_at);

create table customer_phrases (
    customer_id uuid primary key references customers (id) on delete cascade,
    sealed      bytea not null,
    set_at      timestamptz not null default now()
);
comment on table customer_phrases is 'phrases that the customers chose and that a known browser shows';
comment on column customer_phrases.customer_id is 'customer who chose the phrase';
comment on column customer_phrases.sealed is 'phrase, encrypted with AES-256-GCM under a subkey of PIN_KEYS, with the customer''s id as associated data';
comment on column customer_phrases.set_at is 'time when the phrase was set';

grant select, insert, update, delete on known_browsers, customer_phrases to countersign_pin_admin;
