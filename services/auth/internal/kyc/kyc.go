// Package kyc knows which users are who they say, as the vendors found out who verify identities. It promises that what a
// vendor says counts only with its signature over the very bytes that came, once, and in the vendor's own order: who sends
// it again, late or in another's name changes nothing.
package kyc

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/audit"
)

// Status is how far a user's identity is verified, in the words of the contract.
type Status string

// The statuses.
const (
	NotStarted   Status = "not_started"
	Pending      Status = "pending"
	InReview     Status = "in_review"
	Approved     Status = "approved"
	Rejected     Status = "rejected"
	Resubmission Status = "resubmission_requested"
	OnHold       Status = "on_hold"
)

// KYC takes the vendors' events and knows what follows from them.
type KYC struct {
	config Config
	db     *sqlx.DB
	events *prometheus.CounterVec
	// unproved holds a place for each body that is read before it is known who sent it.
	unproved chan struct{}

	mu sync.Mutex
	// refused says when each sort of refusal was last recorded.
	refused map[string]time.Time
}

// maxUnproved is how many bodies, of up to 1 MiB, strangers can make us hold at a time; the others wait.
const maxUnproved = 64

// New prepares KYC. Without any secret in config it refuses every event.
func New(config Config, db *sqlx.DB, registry prometheus.Registerer) *KYC {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kyc_events_total", Help: "What vendors sent, and what became of it.",
	}, []string{"provider", "result"})
	registry.MustRegister(events)
	return &KYC{config: config, db: db, events: events, unproved: make(chan struct{}, maxUnproved), refused: map[string]time.Time{}}
}

// errRepeated says that an event is there already. It stays in here.
var errRepeated = errors.New("the event is there already")

// Receive takes an event. One that came before changes nothing; one that says nothing about a status, or names nobody who
// could be a user, is dropped. It returns ErrForm for a body that is not of the vendor's form.
func (k *KYC) Receive(ctx context.Context, w Webhook) error {
	provider := w.vendor.name
	e, err := w.vendor.event(w.body)
	switch {
	case errors.Is(err, errNothing):
		k.events.WithLabelValues(provider, "ignored").Inc()
		return nil
	case err != nil:
		k.events.WithLabelValues(provider, "malformed").Inc()
		return err
	}
	err = audit.Change(ctx, k.db, func(tx *sqlx.Tx) (audit.Event, error) {
		// What the vendor said goes when the user goes, and the trail does not.
		event := audit.Event{Action: "kyc.event", TargetID: audit.ID(e.user), Details: map[string]any{"provider": provider}}
		return event, insert(ctx, tx, provider, e)
	})
	if errors.Is(err, errRepeated) {
		k.events.WithLabelValues(provider, "repeated").Inc()
		return nil
	}
	if err == nil {
		k.events.WithLabelValues(provider, "stored").Inc()
	}
	return err
}

func insert(ctx context.Context, tx *sqlx.Tx, provider string, e event) error {
	const q = `
		insert into kyc_events (provider, event_id, user_id, type, status, level, reject_labels, occurred_at)
		values ($1, $2, $3, $4, $5, nullif($6, ''), $7, $8)
		on conflict do nothing`
	result, err := tx.ExecContext(ctx, q, provider, e.id, e.user, e.kind, e.status, e.level, pq.Array(e.labels), e.at)
	if err != nil {
		return fmt.Errorf("storing an event: %w", err)
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return errRepeated
	}
	return err
}

// State is what is known of a user, by the latest event about them.
type State struct {
	Status   Status  `db:"status"`
	Provider *string `db:"provider"`
	// Level is nil where the vendor has no name for what was verified.
	Level        *string        `db:"level"`
	RejectLabels pq.StringArray `db:"reject_labels"`
	// OccurredAt is by the vendor's clock, ReceivedAt by ours. Both are nil while nothing is known.
	OccurredAt *time.Time `db:"occurred_at"`
	ReceivedAt *time.Time `db:"received_at"`
}

// CanRetry reports whether the user may, and has to, try again.
func (s State) CanRetry() bool { return s.Status == Resubmission }

// ReviewedAt is when the vendor came to a result; nil while there is none.
func (s State) ReviewedAt() *time.Time {
	switch s.Status {
	case Approved, Rejected, Resubmission:
		return s.OccurredAt
	}
	return nil
}

// State returns what is known of a user.
func (k *KYC) State(ctx context.Context, user uuid.UUID) (State, error) {
	const q = `select status, provider, level, reject_labels, occurred_at, received_at from kyc_states where user_id = $1`
	var s State
	err := k.db.GetContext(ctx, &s, q, user)
	if errors.Is(err, sql.ErrNoRows) {
		return State{Status: NotStarted, RejectLabels: pq.StringArray{}}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("reading a KYC state: %w", err)
	}
	return s, nil
}

// PastEvent is what a vendor said about a user, as it is kept.
type PastEvent struct {
	Provider     string         `db:"provider"`
	Type         string         `db:"type"`
	Status       Status         `db:"status"`
	Level        *string        `db:"level"`
	RejectLabels pq.StringArray `db:"reject_labels"`
	OccurredAt   time.Time      `db:"occurred_at"`
	ReceivedAt   time.Time      `db:"received_at"`
}

// History returns what is kept about a user, the newest first, at most 1000.
func (k *KYC) History(ctx context.Context, user uuid.UUID) ([]PastEvent, error) {
	const q = `
		select provider, type, status, level, reject_labels, occurred_at, received_at
		  from kyc_events where user_id = $1 order by occurred_at desc limit 1000`
	var events []PastEvent
	if err := k.db.SelectContext(ctx, &events, q, user); err != nil {
		return nil, fmt.Errorf("reading KYC events: %w", err)
	}
	return events, nil
}
