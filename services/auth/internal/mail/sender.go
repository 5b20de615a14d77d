package mail

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/countersign/countersign/pkg/audit"
)

const (
	// workers is how many mails a process sends at a time, so that a slow delivery delays few other mails.
	workers = 4
	// poll is how often a worker looks for mails of other processes and for mails to retry.
	poll = 5 * time.Second
	// sendTime limits one attempt. lease is the time after which another sender takes over a mail whose sender has stopped.
	sendTime = time.Minute
	lease    = 2 * sendTime
	// The wait after a failed attempt doubles from firstWait to lastWait.
	firstWait = 5 * time.Second
	lastWait  = 30 * time.Minute
	// settleTime limits the statements after an attempt. They run even when the process stops.
	settleTime = 5 * time.Second
)

// errRefused means that the mail server refuses this mail permanently.
var errRefused = errors.New("the mail server refuses the mail")

// errNoRecipient means that the customer was deleted.
var errNoRecipient = errors.New("the recipient was deleted")

// delivery delivers letters. Its errors never contain a server's text, which may contain an address.
type delivery interface {
	deliver(ctx context.Context, l letter) error
}

// Sender sends the mails of the outbox.
type Sender struct {
	db     *sqlx.DB
	outbox *Outbox
	log    *slog.Logger
	base   string
	to     delivery
	mails  *prometheus.CounterVec
}

// NewSender returns the sender of a process and registers its metric. config must pass Check. publicURL is the base URL of
// links, unless config has another one.
func NewSender(config Config, publicURL string, db *sqlx.DB, outbox *Outbox, log *slog.Logger, registry prometheus.Registerer) *Sender {
	s := &Sender{db: db, outbox: outbox, log: log, base: config.linkURL(publicURL), to: config.delivery(log)}
	s.mails = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mails_total", Help: "Attempts to send a mail, by kind and outcome.",
	}, []string{"kind", "result"})
	registry.MustRegister(s.mails)
	for kind := range letters {
		for _, result := range []string{"sent", "failed", "given_up"} {
			s.mails.WithLabelValues(string(kind), result)
		}
	}
	return s
}

// Run sends mails until ctx ends. It returns when the running attempts are recorded.
func (s *Sender) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	if s.to == nil {
		s.log.Warn("neither SMTP_URL nor MAIL_DIR is set: mails stay in the outbox, and users cannot confirm their addresses")
		return
	}
	for range workers {
		running.Go(func() { s.work(ctx) })
	}
}

func (s *Sender) work(ctx context.Context) {
	for ctx.Err() == nil {
		found, err := s.next(ctx)
		if err != nil && ctx.Err() == nil {
			s.log.Warn("reading or writing the outbox failed", "error", err.Error())
		}
		if found && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-s.outbox.wake:
		case <-time.After(poll + rand.N(poll/5)):
		}
	}
}

// claimed is a mail that no other sender takes during the lease.
type claimed struct {
	ID uuid.UUID `db:"id"`
	// Either UserID or CustomerID is valid.
	UserID     uuid.NullUUID `db:"user_id"`
	CustomerID uuid.NullUUID `db:"customer_id"`
	Kind       Kind          `db:"kind"`
	// Email is empty when the customer was deleted.
	Email     string    `db:"email"`
	Source    string    `db:"source"`
	TokenHash []byte    `db:"token_hash"`
	CreatedAt time.Time `db:"created_at"`
	ExpiresAt time.Time `db:"expires_at"`
	Tries     int       `db:"tries"`
	Expired   bool      `db:"expired"`
}

// next sends the mail with the earliest due time. It reports whether a mail was due.
func (s *Sender) next(ctx context.Context) (bool, error) {
	const q = `
		update mails m set due_at = now() + make_interval(secs => $1), tries = m.tries + 1
		 where m.id = (select id from mails where due_at <= now() order by due_at limit 1 for update skip locked)
		returning m.id, m.user_id, m.customer_id, m.kind, m.token_hash, m.created_at, m.expires_at, m.tries, m.expires_at <= now() as expired,
		          coalesce(m.source, '') as source,
		          case when m.user_id is not null or exists (select from customers where id = m.customer_id)
		               then coalesce(m.address, (select email from users where id = m.user_id)) else '' end as email`
	var c claimed
	err := s.db.GetContext(ctx, &c, q, lease.Seconds())
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("claiming a mail: %w", err)
	}
	wait := min(firstWait<<min(c.Tries-1, 20), lastWait)
	wait += rand.N(wait / 4) // so that mails that failed together are not retried together
	var failure error
	switch {
	case c.Expired:
		failure = errors.New("the mail has expired")
	case c.Email == "":
		failure = errNoRecipient
	default:
		failure = s.send(ctx, c)
	}
	// The outcome is recorded even when the process stops: otherwise the mail would be sent again.
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	switch {
	case failure == nil:
		return true, s.settle(settling, c, "sent", nil)
	case errors.Is(failure, errRefused) || errors.Is(failure, errNoRecipient) || c.Expired || time.Now().Add(wait).After(c.ExpiresAt):
		return true, s.settle(settling, c, "given_up", failure)
	}
	return true, s.postpone(settling, c, wait, failure)
}

func (s *Sender) send(ctx context.Context, c claimed) error {
	l := letter{id: c.ID, kind: c.Kind, to: c.Email, source: c.Source, created: c.CreatedAt, expires: c.ExpiresAt}
	if c.TokenHash != nil {
		link, err := s.outbox.link(s.base+pages[c.Kind], c.ID, c.TokenHash)
		if err != nil {
			return err
		}
		l.link = link
	}
	ctx, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	return s.to.deliver(ctx, l)
}

// settle records the final outcome of a mail, in its row and in the audit trail. It does not change a mail that was withdrawn
// meanwhile.
func (s *Sender) settle(ctx context.Context, c claimed, result string, failure error) error {
	s.note(c, result, failure)
	return audit.Change(ctx, s.db, func(tx *sqlx.Tx) (audit.Event, error) {
		const q = `
			update mails set due_at = null, sent_at = case when $2 = 'sent' then now() end
			 where id = $1 and sent_at is null`
		if _, err := tx.ExecContext(ctx, q, c.ID, result); err != nil {
			return audit.Event{}, fmt.Errorf("settling a mail: %w", err)
		}
		details := map[string]any{"mail_id": c.ID, "kind": c.Kind, "tries": c.Tries}
		return audit.Event{Action: "mail." + result, TargetID: c.UserID, CustomerID: c.CustomerID, Details: details}, nil
	})
}

// postpone sets the time of the next attempt, unless the mail was withdrawn or another sender has taken it over.
func (s *Sender) postpone(ctx context.Context, c claimed, wait time.Duration, failure error) error {
	s.note(c, "failed", failure)
	const q = `update mails set due_at = now() + make_interval(secs => $3) where id = $1 and tries = $2 and due_at is not null`
	if _, err := s.db.ExecContext(ctx, q, c.ID, c.Tries, wait.Seconds()); err != nil {
		return fmt.Errorf("postponing a mail: %w", err)
	}
	return nil
}

func (s *Sender) note(c claimed, result string, failure error) {
	s.mails.WithLabelValues(string(c.Kind), result).Inc()
	if failure != nil {
		s.log.Warn("sending a mail failed", "mail_id", c.ID, "kind", c.Kind, "tries", c.Tries, "retried", result == "failed", "error", failure.Error())
	}
}
