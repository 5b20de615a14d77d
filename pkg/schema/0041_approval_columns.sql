-- A person's answer goes through pin-admin, and a use through pin-internal. So pin-internal may not write what makes an approval
-- approved (the holder and the session generation), and pin-admin may not write what makes it used.
-- +goose Up
revoke insert, update on approvals from countersign_pin_internal;
grant insert (id, instance_id, customer_id, identity_id, proxy_key_id, requester, kind, skill, audience, arguments, action_hash, title, template,
              note, nonce, key_id, link_hash, expires_at),
      update (status, reason, decided_at, use_hash, used_at, receipt_key_id, session_seconds)
    on approvals to countersign_pin_internal;
revoke update on approvals from countersign_pin_admin;
grant update (status, reason, expires_at, tries, wrong, tried_at, decided_at, holder_id, session_generation) on approvals to countersign_pin_admin;
