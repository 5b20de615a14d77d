package approval_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/session"
	"github.com/countersign/countersign/pkg/signing"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

func TestUseGivesOneSession(t *testing.T) {
	w := newWorld(t)
	w.people.Exec(`update instances set pin_session_ttl_minutes = 7`)
	id, first := w.approved(approval.Session, &w.identity), useID()
	got, err := w.use(id, first)
	if err != nil {
		t.Fatal(err)
	}
	if got.Receipt != "" || got.Session == nil || got.ExpiresAt.Sub(got.UsedAt) != 7*time.Minute {
		t.Fatalf("got %+v", got)
	}
	check := func(name string) {
		t.Helper()
		found := w.store.Find(t.Context(), got.Session.Reveal())
		if found == nil || !found.IssuedAt.Equal(got.UsedAt) || found.TTL != 7*time.Minute || found.CustomerID != w.customer ||
			found.IdentityID.UUID != w.identity || found.HolderID != w.customer || found.InstanceID != w.instance {
			t.Errorf("%s: the session is %+v", name, found)
		}
	}
	check("the first use")
	w.people.Exec(`update instances set pin_session_ttl_minutes = 9`)
	for name, before := range map[string]func(){
		"at once": func() {},
		"Redis lost its data": func() {
			if err := w.store.Delete(t.Context(), *got.Session); err != nil {
				t.Error(err)
			}
		},
	} {
		before()
		if again, err := w.use(id, first); err != nil || again.Session.Reveal() != got.Session.Reveal() || !again.ExpiresAt.Equal(got.ExpiresAt) {
			t.Errorf("%s: the same use_id: %+v, %v", name, again, err)
		}
		check(name)
	}
	w.wantRefused("another use_id", id, approval.Refused(approval.Used))
	var stored string
	if w.people.Get(&stored, `select session_seconds || ' ' || (receipt_key_id is null) from approvals`); stored != "420 true" {
		t.Errorf("stored %s", stored)
	}
}

// The session of a use does not come back when it has ended.
func TestEndedSessionIsNotRepeated(t *testing.T) {
	w := newWorld(t)
	for _, rule := range []struct {
		name, before string
		revoke       bool
		want         error
	}{
		{"a minute before its end", `update approvals set used_at = used_at - interval '29 minutes' where session_seconds = 1800`, false, nil},
		{"at its end", `update approvals set used_at = used_at - interval '30 minutes' where session_seconds = 1800`, false, approval.ErrEnded},
		{"PIN changed", `update pin_holders set session_generation = gen_random_uuid()`, false, approval.ErrEnded},
		{"person left the instance", `update identities set instance_id = (insert_instance())`, false, approval.ErrEnded},
		{"revoked", `select 1`, true, approval.ErrEnded},
	} {
		if rule.name == "person left the instance" {
			w.people.Exec(`create function insert_instance() returns uuid language sql as $$ insert into instances (name) values ('other') returning id $$`)
		}
		id, first := w.approved(approval.Session, nil), useID()
		got, err := w.use(id, first)
		if err != nil {
			t.Fatalf("%s: %v", rule.name, err)
		}
		if rule.revoke {
			if _, err := w.db.Exec(`insert into revoked_sessions (session_hash, instance_id, expires_at) values ($1, $2, now() + interval '1 day')`, got.Session.Hash(), w.instance); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.store.Delete(t.Context(), *got.Session); err != nil {
			t.Fatal(err)
		}
		w.people.Exec(rule.before)
		if _, err := w.use(id, first); !errors.Is(err, rule.want) {
			t.Errorf("%s: %v, want %v", rule.name, err, rule.want)
		}
		if stored := w.store.Find(t.Context(), got.Session.Reveal()) != nil; stored != (rule.want == nil) {
			t.Errorf("%s: stored again: %t", rule.name, stored)
		}
		w.people.Exec(`delete from approvals`)
		w.people.Exec(`update identities set instance_id = $1`, w.instance)
	}
}

// The approval is burnt before Redis is asked. The same use_id completes the session.
func TestSessionIsCompletedWhenRedisIsBack(t *testing.T) {
	t.Parallel()
	server := storetest.OwnRedis(t)
	w := newWorldOn(t, server.URL)
	id, first := w.approved(approval.Session, nil), useID()
	server.Pause()
	if got, err := w.use(id, first); !errors.Is(err, session.ErrUnreachable) || got.Session != nil {
		t.Fatalf("while Redis does not answer: %+v, %v", got, err)
	}
	if w.status(id) != "used" {
		t.Error("the approval is not used")
	}
	w.wantRefused("another use_id", id, approval.Refused(approval.Used))
	server.Resume()
	for end := time.Now().Add(30 * time.Second); ; {
		got, err := w.use(id, first)
		if errors.Is(err, session.ErrUnreachable) && time.Now().Before(end) {
			continue // the client of Redis waits before it tries again
		}
		if err != nil || w.store.Find(t.Context(), got.Session.Reveal()) == nil {
			t.Fatalf("when Redis is back: %+v, %v", got, err)
		}
		break
	}
	var rows int
	if w.people.Get(&rows, `select count(*) from audit where action = 'approval.used'`); rows != 1 {
		t.Errorf("%d rows in the audit trail", rows)
	}
}

// Storing a session again ends no other session of the holder.
func TestRepeatedSessionEndsNoOther(t *testing.T) {
	w := newWorld(t) // at most 3 sessions
	var ids []string
	var grants []approval.Grant
	for range 3 {
		id := useID()
		got, err := w.use(w.approved(approval.Session, nil), id)
		if err != nil {
			t.Fatal(err)
		}
		ids, grants = append(ids, id), append(grants, got)
	}
	var approvals []string
	if err := w.db.Select(&approvals, `select id from approvals order by used_at`); err != nil {
		t.Fatal(err)
	}
	for i, id := range approvals {
		if _, err := w.use(parseID(t, id), ids[i]); err != nil {
			t.Fatal(err)
		}
	}
	for i, grant := range grants {
		if w.store.Find(t.Context(), grant.Session.Reveal()) == nil {
			t.Errorf("session %d has ended", i)
		}
	}
	got, err := w.use(w.approved(approval.Session, nil), useID())
	if err != nil {
		t.Fatal(err)
	}
	live := 0
	for _, grant := range append(grants, got) {
		if w.store.Find(t.Context(), grant.Session.Reveal()) != nil {
			live++
		}
	}
	if live != 3 {
		t.Errorf("%d live sessions, want 3", live)
	}
}

func parseID(t *testing.T, text string) uuid.UUID {
	t.Helper()
	id, err := uuid.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A receipt is repeated with the key that signed it first, also after a rotation. After a revocation it is gone.
func TestReceiptIsRepeatedWithItsKey(t *testing.T) {
	w := newWorld(t)
	id, first := w.approved(approval.Action, nil), useID()
	got, err := w.use(id, first)
	if err != nil {
		t.Fatal(err)
	}
	same := func(name string) {
		t.Helper()
		if again, err := w.use(id, first); err != nil || again.Receipt != got.Receipt {
			t.Errorf("%s: %v, or another receipt", name, err)
		}
	}
	owner := w.owner
	if err := signing.Receipts.Rotate(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	w.people.Exec(`update receipt_keys set retired_at = now()`)
	same("after a rotation")
	next, err := w.use(w.approved(approval.Action, nil), useID())
	if err != nil {
		t.Fatal(err)
	}
	w.verify(next.Receipt)
	var keys int
	if w.people.Get(&keys, `select count(distinct receipt_key_id) from approvals`); keys != 2 {
		t.Errorf("%d keys signed, want the retired one and the new one", keys)
	}
	same("after the next key was made")
	// A replica without the key of the seal cannot sign, and says so. It is no receipt that is gone.
	other, err := keyring.Parse("other:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	if err != nil {
		t.Fatal(err)
	}
	replica := approval.NewUses(w.db, other, w.store, issuer)
	if _, err := replica.Use(t.Context(), approval.UseRequest{Key: w.key, InstanceID: w.instance, Approval: id, UseID: first}); !errors.Is(err, keyring.ErrUnknownKey) {
		t.Errorf("without the key of the seal: %v", err)
	}
	if err := signing.Receipts.Revoke(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	if _, err := w.use(id, first); !errors.Is(err, approval.ErrReceiptGone) {
		t.Errorf("after a revocation: %v", err)
	}
	fresh, err := w.use(w.approved(approval.Action, nil), useID())
	if err != nil {
		t.Fatal(err)
	}
	w.verify(fresh.Receipt)
}
