package network_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/testkit/storetest"
	"github.com/countersign/countersign/services/auth/internal/network"
)

const (
	oldKey = "old:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	newKey = "new:Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA="
	home   = "203.0.113.7"
)

type deployment struct {
	*network.Networks
	t      *testing.T
	people storetest.People
}

func newDeployment(t *testing.T) deployment {
	t.Parallel()
	database := storetest.Postgres(t)
	d := deployment{&network.Networks{DB: database.Open(t, schema.RoleAuth)}, t, storetest.NewPeople(t, database)}
	return d.with(oldKey)
}

func (d deployment) with(keys string) deployment {
	d.t.Helper()
	ring, err := keyring.Parse(keys)
	if err != nil {
		d.t.Fatal(err)
	}
	d.Networks = &network.Networks{DB: d.DB, Ring: ring}
	return d
}

type user struct {
	id    uuid.UUID
	email string
}

func (d deployment) user() (u user) {
	d.t.Helper()
	u.email = uuid.NewString() + "@example.test"
	d.people.Get(&u.id, `insert into users (email, password_hash) values ($1, '') returning id`, u.email)
	return u
}

func from(address string) context.Context {
	return caller.NewContext(context.Background(), caller.Caller{Address: address})
}

func (d deployment) signIn(u user, address string) (known bool) {
	d.t.Helper()
	err := stores.InTransaction(d.t.Context(), d.DB, func(tx *sqlx.Tx) (err error) {
		known, err = d.Remember(from(address), tx, u.id)
		return err
	})
	if err != nil {
		d.t.Error(err)
	}
	return known
}

func (d deployment) setPassword(u user, address string) {
	d.t.Helper()
	if err := stores.InTransaction(d.t.Context(), d.DB, func(tx *sqlx.Tx) error { return d.KeepCurrent(from(address), tx, u.id) }); err != nil {
		d.t.Error(err)
	}
}

func (d deployment) wantBudget(email, address string, own bool) (subject string) {
	d.t.Helper()
	subject, err := d.Budget(from(address), email)
	if err != nil || (subject != "") != own {
		d.t.Errorf("%s from %q: got the budget %q, %v", email, address, subject, err)
	}
	return subject
}

func TestNetworkIsKnownAfterASignIn(t *testing.T) {
	d := newDeployment(t)
	u, other := d.user(), d.user()
	d.wantBudget(u.email, home, false)
	if d.signIn(u, home) || !d.signIn(u, home) {
		t.Error("want an unknown network, then a known one")
	}
	if d.signIn(u, "2001:db8:1:2::1") || !d.signIn(u, "2001:db8:1:2:3:4:5:6") {
		t.Error("want one IPv6 network")
	}
	for address, own := range map[string]bool{home: true, "203.0.113.8": false, "2001:db8:1:2::9": true, "2001:db8:1:3::1": false, "": false} {
		d.wantBudget(u.email, address, own)
		d.wantBudget(other.email, address, false)
		d.wantBudget("nobody@example.test", address, false)
	}
	if d.wantBudget(u.email, home, true) == d.wantBudget(u.email, "2001:db8:1:2::1", true) {
		t.Error("two networks share a budget")
	}
	for range 2 {
		if d.signIn(u, "") {
			t.Error("a request without an address comes from a known network")
		}
	}
}

func TestNetworkIsKnownFor30Days(t *testing.T) {
	d := newDeployment(t)
	u := d.user()
	d.signIn(u, home)
	d.people.Exec(`update known_networks set used_at = now() - interval '29 days'`)
	d.wantBudget(u.email, home, true)
	if !d.signIn(u, home) {
		t.Error("the network is not known")
	}
	d.people.Exec(`update known_networks set used_at = now() - interval '30 days'`)
	d.wantBudget(u.email, home, false)
	if d.signIn(u, home) {
		t.Error("the network is still known")
	}
	d.wantBudget(u.email, home, true)
}

func TestOnlyTheLastFiveNetworksHaveABudget(t *testing.T) {
	d := newDeployment(t)
	u := d.user()
	for _, n := range strings.Split("123456", "") {
		d.signIn(u, "203.0.113."+n)
	}
	d.wantBudget(u.email, "203.0.113.1", false)
	d.wantBudget(u.email, "203.0.113.2", true)
	if !d.signIn(u, "203.0.113.1") {
		t.Error("a sign-in from the sixth network counts as unknown")
	}
}

func TestOneOfParallelSignInsFindsTheNetworkUnknown(t *testing.T) {
	d := newDeployment(t)
	u := d.user()
	var unknown atomic.Int64
	var running sync.WaitGroup
	for range 20 {
		running.Go(func() {
			if !d.signIn(u, home) {
				unknown.Add(1)
			}
		})
	}
	running.Wait()
	if unknown.Load() != 1 {
		t.Errorf("unknown %d times", unknown.Load())
	}
}

func TestNewPasswordForgetsOtherNetworks(t *testing.T) {
	d := newDeployment(t)
	u, other := d.user(), d.user()
	for _, address := range []string{home, "203.0.113.8"} {
		d.signIn(u, address)
		d.signIn(other, address)
	}
	d.setPassword(u, home)
	d.wantBudget(u.email, home, true)
	d.wantBudget(u.email, "203.0.113.8", false)
	d.wantBudget(other.email, "203.0.113.8", true)
	if !d.signIn(u, home) || d.signIn(u, "203.0.113.8") {
		t.Error("only the network of the new password is known")
	}
	// A mail's link can also be used elsewhere. That network gets a budget, but the next sign-in there is still the first.
	d.setPassword(u, "203.0.113.9")
	d.wantBudget(u.email, "203.0.113.9", true)
	if d.signIn(u, "203.0.113.9") {
		t.Error("a network without a sign-in is known")
	}
}

// A right password, or the link of a mail, makes the network known. So an older budget of this network starts again.
func TestNetworkThatBecomesKnownHasAFullBudget(t *testing.T) {
	d := newDeployment(t)
	u := d.user()
	guesses := budget.Guesses{DB: d.DB, Charger: budget.NewCharger(d.DB), Kind: budget.PasswordKnownNetwork, Limits: budget.Limits{Attempts: 1, Lock: 1e9, LockMax: 1e9, Failures: 1}}
	charge := func() error {
		_, err := guesses.Charge(t.Context(), d.wantBudget(u.email, home, true))
		return err
	}
	d.signIn(u, home)
	if charge() != nil || charge() == nil {
		t.Error("want a budget of one attempt")
	}
	d.setPassword(u, home)
	if charge() != nil || charge() == nil {
		t.Error("a new password did not renew the budget")
	}
	d.people.Exec(`update known_networks set used_at = now() - interval '30 days'`)
	d.signIn(u, home)
	if charge() != nil || charge() == nil {
		t.Error("the first sign-in did not renew the budget")
	}
	d.signIn(u, home)
	if charge() == nil {
		t.Error("a later sign-in renewed the budget")
	}
}

func TestNetworksSurviveAKeyRotation(t *testing.T) {
	d := newDeployment(t)
	u := d.user()
	d.signIn(u, home)
	before := d.wantBudget(u.email, home, true)
	d = d.with(newKey + "," + oldKey)
	if d.wantBudget(u.email, home, true) != before || !d.signIn(u, home) {
		t.Error("the network is not known under the new key")
	}
	d.with(newKey).wantBudget(u.email, home, false)
}

func TestAddressesAreNotStored(t *testing.T) {
	d := newDeployment(t)
	u, other := d.user(), d.user()
	d.signIn(u, home)
	d.signIn(other, home)
	if strings.Contains(d.people.Dump(), home) {
		t.Error("the address is stored")
	}
	var different int
	if d.people.Get(&different, `select count(distinct network) from known_networks`); different != 2 {
		t.Error("the rows show that two users share a network")
	}
}
