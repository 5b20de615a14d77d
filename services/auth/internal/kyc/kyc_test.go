package kyc

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"fmt"
	"hash"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// sample is how a vendor signs, and one of its events.
type sample struct {
	sign     func(secret, body string, now time.Time) http.Header
	approved func(user uuid.UUID, at time.Time) string
}

// samples has one sample for each vendor of the table.
var samples = map[string]sample{
	"sumsub":  sumsubSample,
	"persona": personaSample,
	"onfido":  onfidoSample,
	"veriff":  veriffSample,
}

func hexMAC(algorithm func() hash.Hash, secret, text string) string {
	mac := hmac.New(algorithm, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

// testKYC is a KYC with a database of its own. Every vendor has the secrets "NAME-new" and "NAME-old".
type testKYC struct {
	*KYC
	t      *testing.T
	people storetest.People
}

func newTestKYC(t *testing.T) testKYC {
	t.Parallel()
	database := storetest.Postgres(t)
	k := New(Config{Bearer: []string{"bearer-0123456789"}}, database.Open(t, schema.RoleAuth), prometheus.NewRegistry())
	for i, v := range k.vendors {
		k.vendors[i].secrets = []string{v.name + "-new", v.name + "-old"}
	}
	return testKYC{k, t, storetest.NewPeople(t, database)}
}

func (k testKYC) user() (id uuid.UUID) {
	k.t.Helper()
	k.people.Get(&id, `insert into users (email, password_hash, email_confirmed_at) values ($1, '', now()) returning id`, uuid.NewString()+"@example.test")
	return id
}

// receive stores an event of Sumsub.
func (k testKYC) receive(body string) {
	k.t.Helper()
	if err := k.Receive(context.Background(), Webhook{Sumsub{}.vendor(), []byte(body)}); err != nil {
		k.t.Error(err)
	}
}

func (k testKYC) wantStatus(user uuid.UUID, want Status) State {
	k.t.Helper()
	s, err := k.State(k.t.Context(), user)
	if err != nil || s.Status != want {
		k.t.Errorf("want %s, got %+v, %v", want, s, err)
	}
	return s
}

func (k testKYC) events() (n int) {
	k.t.Helper()
	k.people.Get(&n, `select count(*) from kyc_events`)
	return n
}

const (
	green = `{"reviewAnswer":"GREEN"}`
	final = `{"reviewAnswer":"RED","reviewRejectType":"FINAL","rejectLabels":["FORGERY"]}`
)

// review is an event of Sumsub about a user.
func review(user uuid.UUID, kind, result string, at time.Time) string {
	return fmt.Sprintf(sumsubBody, user, kind, result, at.UTC().Format("2006-01-02 15:04:05.000"))
}

func TestEveryVendorCanApproveAUser(t *testing.T) {
	k := newTestKYC(t)
	user, now := k.user(), time.Now()
	for i, v := range k.vendors {
		s, ok := samples[v.name]
		if !ok {
			t.Fatalf("%s has no sample", v.name)
		}
		body := s.approved(user, now.Add(time.Duration(i)*time.Minute))
		for j, secret := range v.secrets {
			webhook, err := k.Authenticate(t.Context(), s.sign(secret, body, now), "", func() ([]byte, error) { return []byte(body), nil })
			if err != nil {
				t.Fatalf("%s, secret %d: %v", v.name, j, err)
			}
			if err := k.Receive(t.Context(), webhook); err != nil {
				t.Fatalf("%s: %v", v.name, err)
			}
		}
		if state := k.wantStatus(user, Approved); *state.Provider != v.name {
			t.Errorf("approved by %s, want %s", *state.Provider, v.name)
		}
		k.people.Exec(`delete from kyc_events`)

		relayed := http.Header{"X-Kyc-Provider": {v.name}}
		webhook, err := k.Authenticate(t.Context(), relayed, "bearer-0123456789", func() ([]byte, error) { return []byte(body), nil })
		if err != nil || k.Receive(t.Context(), webhook) != nil {
			t.Errorf("%s, relayed: %v", v.name, err)
		}
		k.wantStatus(user, Approved)
	}
}

func TestRepeatedEventIDChangesNothing(t *testing.T) {
	k := newTestKYC(t)
	user := k.user()
	approved := personaSample.approved(user, time.Now())
	for _, body := range []string{approved, " " + strings.Replace(approved, "inquiry.approved", "inquiry.declined", 1)} {
		if err := k.Receive(t.Context(), Webhook{Persona{}.vendor(), []byte(body)}); err != nil {
			t.Fatal(err)
		}
	}
	k.wantStatus(user, Approved)
}

func TestOrderOfArrivalDoesNotMatter(t *testing.T) {
	k := newTestKYC(t)
	start := time.Now().Add(-time.Hour)
	for range 4 {
		user := k.user()
		events := []string{
			review(user, "applicantPending", `{}`, start), review(user, "applicantReviewed", green, start.Add(time.Second)),
			review(user, "applicantReviewed", final, start.Add(time.Second+time.Millisecond)),
			// At the same time, the more serious status decides.
			review(user, "applicantReviewed", green, start.Add(time.Second+time.Millisecond)),
			review(user, "applicantPending", `{}`, start.Add(time.Second+time.Millisecond)),
		}
		events = append(events, events...)
		rand.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
		for _, event := range events {
			k.receive(event)
		}
		k.wantStatus(user, Rejected)
	}
}

func TestConcurrentCopiesOfAnEventAreStoredOnce(t *testing.T) {
	k := newTestKYC(t)
	user := k.user()
	body := review(user, "applicantReviewed", green, time.Now())
	var running sync.WaitGroup
	for range 200 {
		running.Go(func() { k.receive(body) })
	}
	running.Wait()
	k.wantStatus(user, Approved)
	var rows int
	k.people.Get(&rows, `select count(*) from audit where action = 'kyc.event'`)
	if n := k.events(); n != 1 || rows != 1 {
		t.Errorf("%d events and %d audit rows, want 1 of each", n, rows)
	}
}

func TestEventsArriveBeforeTheirUserAndAreDeletedWithIt(t *testing.T) {
	k := newTestKYC(t)
	early, user := uuid.New(), k.user()
	k.receive(review(early, "applicantReviewed", green, time.Now()))
	k.receive(review(user, "applicantReviewed", green, time.Now()))
	k.wantStatus(early, NotStarted)
	k.people.Exec(`delete from users where id = $1`, user)
	if n := k.events(); n != 1 {
		t.Errorf("%d events after the deletion of one of two users", n)
	}
	k.people.Exec(`insert into users (id, email, password_hash, email_confirmed_at) values ($1, 'later@example.test', 'x', now())`, early)
	k.wantStatus(early, Approved)
	k.people.Exec(`delete from users where id = $1`, early)
	if n := k.events(); n != 0 {
		t.Errorf("%d events of a deleted user", n)
	}
}

func TestIgnoredEventsAreNotStored(t *testing.T) {
	k := newTestKYC(t)
	user, now := k.user(), time.Now()
	for _, body := range []string{
		review(user, "applicantActionReviewed", green, now), review(user, "", green, now),
		strings.Replace(review(user, "applicantReviewed", green, now), user.String(), "canary@example.test", 1),
		strings.Replace(review(user, "applicantReviewed", green, now), user.String(), "", 1),
		`{}`, `null`, `[]`, `{"type":"somethingNew","createdAtMs":5}`,
	} {
		k.receive(body)
	}
	k.wantStatus(user, NotStarted)
	if n := k.events(); n != 0 {
		t.Errorf("%d events", n)
	}
}
