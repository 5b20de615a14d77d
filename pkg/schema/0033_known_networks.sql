-- Logins from a network that signed in to the account before have a guess budget of their own. So a stranger who guesses from
-- elsewhere cannot lock the user out there. The address itself is not stored, because it is personal data and auth needs only to
-- recognize it.
-- +goose Up
create table known_networks (
    user_id   uuid not null references users (id) on delete cascade,
    network   bytea not null check (octet_length(network) = 32),
    signed_in boolean not null,
    used_at   timestamptz not null default now(),
    primary key (user_id, network)
);
comment on table known_networks is 'networks from which users signed in during the last 30 days';
comment on column known_networks.user_id is 'user that used the network';
comment on column known_networks.network is 'HMAC-SHA-256 of the user''s id and the network (an IPv4 address or an IPv6 /64), under a subkey of AUTH_KEYS';
comment on column known_networks.signed_in is 'whether the user signed in there; false: the user only set a new password there';
comment on column known_networks.used_at is 'time of the last sign-in or new password; after 30 days the network is not known any more';

create index known_networks_used_at on known_networks (used_at);

grant select, insert, update, delete on known_networks to countersign_auth;
