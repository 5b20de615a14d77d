package keys

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

func TestNewKeyFitsIntoARing(t *testing.T) {
	t.Parallel()
	ring, err := keyring.Parse(New() + "," + New())
	if err != nil {
		t.Fatal(err)
	}
	if day, ok := Date(ring.Current()); !ok || time.Since(day) > 48*time.Hour {
		t.Errorf("the key %s is from %s", ring.Current(), day)
	}
	if _, ok := Date("main"); ok {
		t.Error("an id without a date has a date")
	}
}

func TestCountsOfBothRings(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t).Open(t, "")
	const q = `
		with c as (insert into customers (email) values ('a@example.com'), ('b@example.com'), ('c@example.com') returning id, email),
		     u as (insert into users (email, password_hash) select email, '' from c returning id),
		     e as (insert into exchange_keys (id, user_id, exchange, masked_key, is_testnet, permissions, credentials_sealed)
			select id, id, 'sandbox', '', false, '{}', 'ring-2:'::bytea || decode('00ff3a01', 'hex') from u),
		     h as (insert into pin_holders (holder_id, customer_id, verifier, generation, pin_set_at)
			select id, id, '$argon2id$v=19$m=8,t=1,p=1,keyid=' || case email when 'c@example.com' then 'old' else 'new' end || '$c2FsdA$aGFzaA', id, now() from c)
		insert into signing_keys (id, public_key, private_sealed)
		select id, decode(repeat('00', 32), 'hex'), 'ring-1:'::bytea || decode('00ff3a01', 'hex') from c`
	if _, err := db.Exec(q); err != nil {
		t.Fatal(err)
	}
	counts, err := CountAll(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := Print(&out, counts); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(line), " "))
	}
	want := "RING KEY ID WHAT COUNT|AUTH_KEYS ring-1 signing keys 3|AUTH_KEYS ring-2 exchange keys 3|PIN_KEYS new PINs 2|PIN_KEYS old PINs 1"
	if strings.Join(got, "|") != want {
		t.Errorf("got\n%s", out.String())
	}
}
