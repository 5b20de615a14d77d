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
	// workers is how many mails a process sends side by side, so that one that hangs keeps few others.
	workers = 4
	// poll is how often each looks for mails of other processes, and for those that are to be tried again.
	poll = 5 * time.Second
	// sendTime bounds one try, and lease is when another sender takes over from one that died meanwhile.
	sendTime = time.Minute
	lease    = 2 * sendTime
	// The wait after a try that failed doubles from firstWait up to lastWait.
	firstWait = 5 * time.Second
	lastWait  = 30 * time.Minute
	// settleTime bounds writing down what came of a try, also while the process is stopping.
	settleTime = 5 * time.Second
)

// errRefused says that the mail server will not take this mail, however often it is tried.
var errRefused = errors.New("the mail server refuses it")

// delivery brings a letter out of the house. Its error never repeats what a server said, which may be an address.
type delivery interface {
	deliver(ctx context.Context, l letter) error
}

// Sender empties the outbox.
type Sender struct {
	db     *sqlx.DB
	outbox *Outbox
	log    *slog.Logger
	base   string
	to     delivery
	mails  *prometheus.CounterVec
}

// NewSender prepares the sender of a process; config was checked. publicURL is where links lead unless config says
// otherwise.
func NewSender(config Config, publicURL string, db *sqlx.DB, outbox *Outbox, log *slog.Logger, registry prometheus.Registerer) *Sender {
	s := &Sender{db: db, outbox: outbox, log: log, base: config.linkURL(publicURL), to: config.delivery(log)}
	s.mails = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "mails_total", Help: "Tries to send a mail, by kind and by what came of them.",
	}, []string{"kind", "result"})
	registry.MustRegister(s.mails)
	for kind := range lives {
		for _, result := range []string{"sent", "failed", "given_up"} {
			s.mails.WithLabelValues(string(kind), result)
		}
	}
	return s
}

// Run sends mails until ctx ends, and then returns when what is under way is settled.
func (s *Sender) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	if s.to == nil {
		s.log.Warn("neither SMTP_URL nor MAIL_DIR is set: mails stay in the outbox, and nobody can confirm an address")
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
			s.log.Warn("the outbox cannot be read or written", "error", err.Error())
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

// claimed is a mail that is ours for the time of the lease.
type claimed struct {
	ID        uuid.UUID `db:"id"`
	UserID    uuid.UUID `db:"user_id"`
	Kind      Kind      `db:"kind"`
	Email     string    `db:"email"`
	TokenHash []byte    `db:"token_hash"`
	CreatedAt time.Time `db:"created_at"`
	ExpiresAt time.Time `db:"expires_at"`
	Tries     int       `db:"tries"`
	Expired   bool      `db:"expired"`
}

// next sends the mail that is due first, and reports whether there was one.
func (s *Sender) next(ctx context.Context) (bool, error) {
	const q = `
		update mails m set due_at = now() + make_interval(secs => $1), tries = m.tries + 1
		  from users u
		 where u.id = m.user_id
		   and m.id = (select id from mails where due_at <= now() order by due_at limit 1 for update skip locked)
		returning m.id, m.user_id, m.kind, u.email, m.token_hash, m.created_at, m.expires_at, m.tries, m.expires_at <= now() as expired`
	var c claimed
	err := s.db.GetContext(ctx, &c, q, lease.Seconds())
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("claiming a mail: %w", err)
	}
	wait := min(firstWait<<min(c.Tries-1, 20), lastWait)
	wait += rand.N(wait / 4) // mails that failed together do not come back together
	failure := errors.New("its time is over")
	if !c.Expired {
		failure = s.send(ctx, c)
	}
	// What came of it is written down even when we are told to stop: else it would be sent again.
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	switch {
	case failure == nil:
		return true, s.settle(settling, c, "sent", nil)
	case errors.Is(failure, errRefused) || c.Expired || time.Now().Add(wait).After(c.ExpiresAt):
		return true, s.settle(settling, c, "given_up", failure)
	}
	return true, s.postpone(settling, c, wait, failure)
}

func (s *Sender) send(ctx context.Context, c claimed) error {
	l := letter{id: c.ID, kind: c.Kind, to: c.Email, created: c.CreatedAt, expires: c.ExpiresAt}
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

// settle ends a mail, with its row of the trail. It leaves alone one that was withdrawn meanwhile.
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
		return audit.Event{Action: "mail." + result, TargetID: audit.ID(c.UserID), Details: details}, nil
	})
}

// postpone puts a mail off, unless it was withdrawn or taken over by another sender meanwhile.
func (s *Sender) postpone(ctx context.Context, c claimed, wait time.Duration, failure error) error {
	s.note(c, "failed", failure)
	const q = `update mails set due_at = now() + make_interval(secs => $3) where id = $1 and tries = $2 and due_at is not null`
	if _, err := s.db.ExecContext(ctx, q, c.ID, c.Tries, wait.Seconds()); err != nil {
		return fmt.Errorf("putting a mail off: %w", err)
	}
	return nil
}

func (s *Sender) note(c claimed, result string, failure error) {
	s.mails.WithLabelValues(string(c.Kind), result).Inc()
	if failure != nil {
		s.log.Warn("a mail was not sent", "mail_id", c.ID, "kind", c.Kind, "tries", c.Tries, "again", result == "failed", "error", failure.Error())
	}
}
