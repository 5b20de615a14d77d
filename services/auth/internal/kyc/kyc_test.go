package kyc

import (
	"context"
	"crypto/hmac"
	"encoding/hex"
	"errors"
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
	if err := k.Receive(context.Background(), Webhook{vendor: Sumsub{}.vendor(), body: []byte(body)}); err != nil {
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
		if err := k.Receive(t.Context(), Webhook{vendor: Persona{}.vendor(), body: []byte(body)}); err != nil {
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

func TestEventsOfDeletedAndUnknownUsersAreNotStored(t *testing.T) {
	k := newTestKYC(t)
	user := k.user()
	approved := review(user, "applicantReviewed", green, time.Now())
	k.receive(approved)
	if n := k.events(); n != 1 {
		t.Fatalf("%d events, want 1", n)
	}
	k.people.Exec(`delete from users where id = $1`, user)
	for _, body := range []string{approved, review(user, "applicantDeleted", "{}", time.Now()), review(uuid.New(), "applicantReviewed", green, time.Now())} {
		k.receive(body) // the vendor sends it again, because its first request had no answer
	}
	var rows int
	k.people.Get(&rows, `select count(*) from audit where action = 'kyc.event'`)
	if n := k.events(); n != 0 || rows != 1 {
		t.Errorf("%d events and %d audit rows, want 0 and 1", n, rows)
	}
}

// from stores an event of a vendor: pending, approved or rejected.
func (k testKYC) from(vendor string, user uuid.UUID, status Status, at time.Time) {
	k.t.Helper()
	k.people.Exec(`insert into kyc_events (provider, event_id, user_id, type, status, occurred_at) values ($1, gen_random_uuid(), $2, '', $3, $4)`, vendor, user, status, at)
}

func TestRejectionByAnotherVendorStays(t *testing.T) {
	type event struct {
		vendor string
		status Status
	}
	k := newTestKYC(t)
	for name, rule := range map[string]struct {
		events []event
		want   Status
		vendor string
	}{
		"an approval by another vendor":                  {[]event{{"sumsub", Rejected}, {"veriff", Approved}}, Rejected, "sumsub"},
		"an earlier approval by another vendor":          {[]event{{"veriff", Approved}, {"sumsub", Rejected}}, Rejected, "sumsub"},
		"a new start with another vendor":                {[]event{{"sumsub", Rejected}, {"veriff", Pending}}, Rejected, "sumsub"},
		"the same vendor reverses its rejection":         {[]event{{"sumsub", Rejected}, {"veriff", Pending}, {"sumsub", Approved}}, Approved, "sumsub"},
		"the same vendor starts again, another approves": {[]event{{"sumsub", Rejected}, {"sumsub", Pending}, {"veriff", Approved}}, Pending, "sumsub"},
		"the user gives up a second attempt":             {[]event{{"veriff", Rejected}, {"veriff", Resubmission}, {"sumsub", Approved}}, Resubmission, "veriff"},
		"the same vendor approves a second attempt":      {[]event{{"sumsub", Rejected}, {"sumsub", Pending}, {"sumsub", Approved}, {"veriff", Pending}}, Pending, "veriff"},
		"the same vendor resets the user":                {[]event{{"sumsub", Rejected}, {"sumsub", NotStarted}, {"sumsub", Pending}, {"veriff", Approved}}, Approved, "veriff"},
		"two rejections":                                 {[]event{{"sumsub", Rejected}, {"veriff", Rejected}, {"onfido", Approved}}, Rejected, "veriff"},
		"a hold is not a rejection":                      {[]event{{"sumsub", OnHold}, {"veriff", Approved}}, Approved, "veriff"},
		"approved, then on hold at another vendor":       {[]event{{"veriff", Approved}, {"sumsub", OnHold}}, OnHold, "sumsub"},
	} {
		user, at := k.user(), time.Now().Add(-time.Hour)
		for i, e := range rule.events {
			k.from(e.vendor, user, e.status, at.Add(time.Duration(i)*time.Second))
		}
		if s := k.wantStatus(user, rule.want); *s.Provider != rule.vendor {
			t.Errorf("%s: %s decides, want %s", name, *s.Provider, rule.vendor)
		}
	}
}

func TestOperatorResolvesARejection(t *testing.T) {
	k := newTestKYC(t)
	user, at := k.user(), time.Now().Add(-time.Hour)
	resolve := func(vendor string) error { return ResolveRejection(t.Context(), k.db, user, vendor) }
	k.from("veriff", user, Approved, at)
	if err := resolve("veriff"); !errors.Is(err, ErrNotRejected) {
		t.Errorf("resolving an approval: %v", err)
	}
	k.from("sumsub", user, Rejected, at.Add(2*time.Hour)) // the vendor's clock is ahead
	k.wantStatus(user, Rejected)
	if err := resolve("sumsub"); err != nil {
		t.Fatal(err)
	}
	k.wantStatus(user, Approved)
	if err := resolve("sumsub"); !errors.Is(err, ErrNotRejected) {
		t.Errorf("resolving twice: %v", err)
	}
	k.from("sumsub", user, Rejected, at.Add(3*time.Hour))
	k.wantStatus(user, Rejected)
	k.from("sumsub", user, Pending, at.Add(4*time.Hour)) // the user has started again
	k.wantStatus(user, Pending)
	if err := resolve("sumsub"); err != nil {
		t.Fatal(err)
	}
	k.people.Exec(`delete from kyc_events where provider = 'veriff'`)
	k.wantStatus(user, NotStarted)
}

func TestOnlyAcceptedLevelsApprove(t *testing.T) {
	k := newTestKYC(t)
	user, now := k.user(), time.Now()
	secrets := []string{"secret-of-a-vendor"}
	config := Vendors{
		Sumsub: Sumsub{secrets, []string{"other", "basic-kyc-level"}}, Persona: Persona{secrets, []string{"itmpl_known"}},
		Onfido: Onfido{secrets, []string{"74ac8f4d"}}, Veriff: Veriff{secrets, []string{"key-of-integration"}},
	}
	for _, v := range config.all() {
		s := samples[v.name]
		for accepted, body := range map[bool]string{true: s.approved(user, now), false: strings.NewReplacer("basic-kyc-level", "basic", "itmpl_known", "itmpl_", "74ac8f4d", "x").Replace(s.approved(user, now))} {
			h := s.sign(secrets[0], body, now)
			if v.name == "veriff" && accepted {
				h.Set("X-AUTH-CLIENT", "key-of-integration")
			}
			one := KYC{vendors: []vendor{v}, db: k.db, events: k.KYC.events}
			webhook, err := one.Authenticate(t.Context(), h, "", func() ([]byte, error) { return []byte(body), nil })
			if err != nil {
				t.Fatal(err)
			}
			if err := one.Receive(t.Context(), webhook); err != nil {
				t.Fatal(err)
			}
			if want := map[bool]Status{true: Approved, false: NotStarted}[accepted]; k.wantStatus(user, want).Status != want {
				t.Errorf("%s, accepted level: %t", v.name, accepted)
			}
			k.people.Exec(`delete from kyc_events`)
		}
	}
	// A rejection counts at every level.
	v := Sumsub{Levels: []string{"other"}}.vendor()
	if err := k.Receive(t.Context(), Webhook{vendor: v, body: []byte(review(user, "applicantReviewed", final, now))}); err != nil {
		t.Fatal(err)
	}
	k.wantStatus(user, Rejected)
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
