// Package kyc records identity-verification results sent by vendors. An event counts only with the vendor's signature of the
// received bytes. Repeated events change nothing. The latest event of each vendor, by the vendor's clock, is the vendor's
// result, in whatever order events arrive. A vendor that rejected a user decides until it approves or resets the user, or an
// operator resolves the rejection. A new start with this vendor does not end the rejection.
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

// Status is the state of a user's identity verification, in the words of the API.
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

// KYC stores the vendors' events and returns users' statuses.
type KYC struct {
	vendors []vendor
	bearer  []string
	db      *sqlx.DB
	events  *prometheus.CounterVec

	mu sync.Mutex
	// refused is when each kind of refusal was last recorded.
	refused map[string]time.Time
}

// New returns a KYC and registers its metric. Without secrets it refuses every event.
func New(config Config, db *sqlx.DB, registry prometheus.Registerer) *KYC {
	events := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kyc_events_total", Help: "Events that vendors sent, by outcome.",
	}, []string{"provider", "result"})
	registry.MustRegister(events)
	return &KYC{
		vendors: config.Vendors.all(), bearer: config.Bearer, db: db, events: events,
		refused: map[string]time.Time{},
	}
}

// Why an event is not stored.
var (
	errRepeated = errors.New("the event is already stored")
	errNoUser   = errors.New("the user does not exist")
)

// Receive stores an event. It ignores an event that is already stored, that reports no status, that is not about a user, or that
// approves a user at a level that is not accepted. A user that does not exist was deleted: a vendor sends an event again for hours.
// Receive returns ErrForm for a body that does not have the vendor's form.
func (k *KYC) Receive(ctx context.Context, w Webhook) error {
	provider := w.vendor.name
	e, err := w.vendor.event(w.body, w.level)
	switch {
	case errors.Is(err, errLevel):
		k.events.WithLabelValues(provider, "level_not_accepted").Inc()
		return nil
	case errors.Is(err, errIgnored):
		k.events.WithLabelValues(provider, "ignored").Inc()
		return nil
	case err != nil:
		k.events.WithLabelValues(provider, "malformed").Inc()
		return err
	}
	err = audit.Change(ctx, k.db, func(tx *sqlx.Tx) (audit.Event, error) {
		// The audit row outlives the user, so it does not contain what the vendor reported.
		event := audit.Event{Action: "kyc.event", TargetID: audit.ID(e.user), Details: map[string]any{"provider": provider}}
		return event, insert(ctx, tx, provider, e)
	})
	switch {
	case errors.Is(err, errRepeated):
		k.events.WithLabelValues(provider, "repeated").Inc()
		return nil
	case errors.Is(err, errNoUser):
		k.events.WithLabelValues(provider, "unknown_user").Inc()
		return nil
	case err == nil:
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
	if pgErr := (*pq.Error)(nil); errors.As(err, &pgErr) && pgErr.Code == "23503" { // foreign_key_violation
		return errNoUser
	}
	if err != nil {
		return fmt.Errorf("storing an event: %w", err)
	}
	n, err := result.RowsAffected()
	if err == nil && n == 0 {
		return errRepeated
	}
	return err
}

// State is a user's latest status.
type State struct {
	Status   Status  `db:"status"`
	Provider *string `db:"provider"`
	// Level is the vendor's name of the verification level; nil: not sent.
	Level        *string        `db:"level"`
	RejectLabels pq.StringArray `db:"reject_labels"`
	// OccurredAt is the time by the vendor's clock, ReceivedAt by this service's. Both are nil before the first event.
	OccurredAt *time.Time `db:"occurred_at"`
	ReceivedAt *time.Time `db:"received_at"`
}

// CanRetry reports whether the user must start the verification again.
func (s State) CanRetry() bool { return s.Status == Resubmission }

// ReviewedAt returns the time of the vendor's result, nil before there is one.
func (s State) ReviewedAt() *time.Time {
	switch s.Status {
	case Approved, Rejected, Resubmission:
		return s.OccurredAt
	}
	return nil
}

// State returns a user's state.
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

// PastEvent is a stored event about a user.
type PastEvent struct {
	Provider     string         `db:"provider"`
	Type         string         `db:"type"`
	Status       Status         `db:"status"`
	Level        *string        `db:"level"`
	RejectLabels pq.StringArray `db:"reject_labels"`
	OccurredAt   time.Time      `db:"occurred_at"`
	ReceivedAt   time.Time      `db:"received_at"`
}

// History returns the events about a user, newest first, at most 1000.
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
