package bearer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/countersign/countersign/pkg/client"
)

const (
	// keepAccount is how long the person of a subject is remembered. A removed account can be used for this time.
	keepAccount = 30 * time.Second
	// maxAccounts limits the memory.
	maxAccounts = 10_000
)

// accounts finds persons by the ids of their accounts on one channel.
type accounts struct {
	countersign *client.Client
	channel     string

	mu    sync.Mutex
	known map[string]account
}

// account is an answer of Countersign. err is nil or ErrNoAccount.
type account struct {
	person client.Person
	err    error
	until  time.Time
}

func (a *accounts) person(ctx context.Context, subject string) (client.Person, error) {
	a.mu.Lock()
	found, ok := a.known[subject]
	a.mu.Unlock()
	if ok && time.Now().Before(found.until) {
		return found.person, found.err
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	person, err := a.countersign.Lookup(ctx, a.channel, subject)
	if errors.Is(err, client.NotFound) {
		err = ErrNoAccount
	} else if err != nil {
		return client.Person{}, fmt.Errorf("looking up the account of the access token: %w", err)
	}
	a.remember(subject, account{person, err, time.Now().Add(keepAccount)})
	return person, err
}

func (a *accounts) remember(subject string, found account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.known) >= maxAccounts {
		clear(a.known)
	}
	a.known[subject] = found
}
