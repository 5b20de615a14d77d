package keys

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

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

const firstKey, secondKey = "first:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "second:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="

// Receipt keys and phrases move to the current key of PIN_KEYS. The approvals that have not ended keep the old key.
func TestRenewOfPINKeys(t *testing.T) {
	t.Parallel()
	database := storetest.Postgres(t)
	db, people := database.Open(t, ""), storetest.NewPeople(t, database)
	first, both := ring(t, firstKey), ring(t, secondKey+","+firstKey)
	customer, instance := people.Customer(), people.Instance()
	key := uuid.New()
	people.Exec(`insert into receipt_keys (id, public_key, private_sealed) values ($1, decode(repeat('00', 32), 'hex'), $2)`, key, sealed(t, first, keyring.ReceiptKeys, key))
	people.Exec(`insert into customer_phrases (customer_id, sealed) values ($1, $2)`, customer, sealed(t, first, keyring.Phrases, customer))
	// Three of these approvals have a token that a repeated request may still ask for.
	people.Exec(`
		insert into approvals (id, instance_id, customer_id, proxy_key_id, kind, skill, arguments, action_hash, nonce, key_id, link_hash,
		                       status, expires_at, decided_at, holder_id, session_generation, use_hash, used_at, session_seconds)
		select gen_random_uuid(), $1, $2, $2, kind, 'pay', '{}', hash, hash, 'first', sha256(random()::text::bytea),
		       status, now() + expires::interval, now(), $2, $2, case when status = 'used' then hash end, now() + used::interval, case kind when 'session' then 600 end
		  from (values ('action', 'pending', '1 minute', null), ('session', 'approved', '1 minute', null), ('session', 'used', '0', '-9 minutes'),
		               ('action', 'pending', '-1 minute', null), ('session', 'used', '0', '-11 minutes'), ('action', 'used', '0', '-1 minute'), ('action', 'denied', '1 minute', null)
		       ) as v (kind, status, expires, used), sha256((kind || status || expires)::bytea) hash`, instance, customer)
	counts := func() string {
		t.Helper()
		counts, err := CountAll(t.Context(), db)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, c := range counts {
			all = append(all, fmt.Sprintf("%s %s: %d %s", c.Ring, c.KeyID, c.Count, c.Values))
		}
		return strings.Join(all, ", ")
	}
	if got := counts(); got != "PIN_KEYS first: 3 open approvals, PIN_KEYS first: 1 phrases, PIN_KEYS first: 1 receipt keys" {
		t.Error(got)
	}
	if err := RenewPIN(t.Context(), db, ring(t, secondKey)); !errors.Is(err, keyring.ErrUnknownKey) {
		t.Errorf("renewed without the key that opens the values: %v", err)
	}
	if err := RenewPIN(t.Context(), db, both); err != nil {
		t.Fatal(err)
	}
	if got := counts(); got != "PIN_KEYS first: 3 open approvals, PIN_KEYS second: 1 phrases, PIN_KEYS second: 1 receipt keys" {
		t.Error(got)
	}
	var renewed []byte
	people.Get(&renewed, `select private_sealed from receipt_keys`)
	if plain, err := ring(t, secondKey).Open(keyring.ReceiptKeys, key.String(), renewed); err != nil || string(plain) != "plain" {
		t.Errorf("%q, %v", plain, err)
	}
}

func ring(t *testing.T, text string) *keyring.Ring {
	t.Helper()
	r, err := keyring.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sealed(t *testing.T, r *keyring.Ring, purpose keyring.Purpose, row uuid.UUID) []byte {
	t.Helper()
	value, err := r.Seal(purpose, row.String(), []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	return value
}
