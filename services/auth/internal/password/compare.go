package password

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
	"github.com/countersign/countersign/services/auth/internal/usersession"
)

// settleTime limits the statements that follow a comparison. They run even when the client has disconnected.
const settleTime = 5 * time.Second

// decoy is compared with the candidate when no user has the address. It costs as much as a new hash, and no password
// matches it.
var decoy = func() string {
	sum := make([]byte, 48)
	rand.Read(sum)
	text := base64.RawStdEncoding.EncodeToString
	costs := slowhash.CurrentParams
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", costs.MemoryKiB, costs.Passes, costs.Threads, text(sum[:16]), text(sum[16:]))
}()

// Comparison is the outcome of comparing a candidate with the password of an address.
type Comparison struct {
	// User is the zero User when no user has the address.
	User  usersession.User
	Right bool
	// Generation identifies the password that was compared.
	Generation uuid.UUID
	// Hash is the stored password that the candidate matched, empty if it matched none.
	Hash string
}

// Compare charges an attempt for a login to the address (in lower case) and compares the candidate with its password. A network
// from which the user signed in before has its own guess budget for the address. All other networks share one. For an
// unconfirmed address it compares the candidate with the password of every signup; they have one salt, so it hashes once. Compare
// returns budget.ErrLocked or ErrUsedUp when no attempt is left, and slowhash.ErrBusy when the pool is full. Then it compares and
// charges nothing.
func (p *Passwords) Compare(ctx context.Context, email string, candidate secret.Text) (Comparison, error) {
	place, err := p.pool.Reserve(tenant(ctx))
	if err != nil {
		return Comparison{}, err
	}
	defer place.Release()
	subject, err := p.networks.Budget(context.WithoutCancel(ctx), email) // a client that disconnects must not avoid the charge
	if err != nil {
		return Comparison{}, err
	}
	if subject != "" {
		return p.compare(ctx, place, p.guesses(budget.PasswordKnownNetwork), subject, email, candidate)
	}
	return p.compare(ctx, place, p.guesses(budget.Password), email, email, candidate)
}

// compare charges an attempt to a guess budget and compares the candidate with the password of an address.
func (p *Passwords) compare(ctx context.Context, place slowhash.Place, guesses budget.Guesses, subject, email string, candidate secret.Text) (_ Comparison, err error) {
	attempt, err := guesses.Charge(ctx, subject)
	if errors.Is(err, budget.ErrUsedUp) {
		return Comparison{}, ErrUsedUp
	}
	if err != nil {
		return Comparison{}, err
	}
	defer func() { err = budget.WithoutOutcome(err) }()
	c, stored, err := p.find(ctx, email)
	if err != nil {
		return Comparison{}, err
	}
	hash, err := place.HashLike(ctx, canonical(candidate), stored[0])
	if err != nil {
		return Comparison{}, fmt.Errorf("comparing a password: %w", err)
	}
	for _, password := range stored {
		if slowhash.Equal(hash, password) {
			c.Right, c.Hash = true, hash
		}
	}
	p.comparisons.Inc()
	settling, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	switch {
	case c.Right:
		err = guesses.SettleRight(settling, p.db, attempt)
	case attempt.LockedFor > 0 || attempt.UsedUp:
		details := map[string]any{"budget": guesses.Kind, "used_up": attempt.UsedUp}
		err = audit.Record(settling, p.db, audit.Event{Action: "password.locked", TargetID: audit.ID(c.User.ID), Details: details})
	}
	// The first signup's salt stays until the address is confirmed: the repeated signups have it too.
	if c.Right && err == nil && c.User.EmailConfirmedAt != nil && slowhash.Outdated(hash, "") {
		err = p.renewHash(ctx, place, c.User.ID, candidate, hash)
	}
	return c, err
}

// find returns the user with an address and the stored password, or the decoy. An unconfirmed address has one stored password
// for each signup. find accepts only the stored spelling of the address: lower() in Postgres may treat more spellings as equal
// than ParseEmail does, and each would have its own budget.
func (p *Passwords) find(ctx context.Context, email string) (c Comparison, stored []string, err error) {
	const q = `
		select id, email, role, email_confirmed_at, password_hash, password_generation,
		       array(select s.password_hash from repeated_signups s where s.user_id = users.id) as repeated
		  from users where lower(email) = lower($1) and email = $1`
	var row struct {
		usersession.User
		Hash       string         `db:"password_hash"`
		Repeated   pq.StringArray `db:"repeated"`
		Generation uuid.UUID      `db:"password_generation"`
	}
	err = p.db.GetContext(ctx, &row, q, email)
	if errors.Is(err, sql.ErrNoRows) {
		return Comparison{}, []string{decoy}, nil
	}
	if err != nil {
		return Comparison{}, nil, fmt.Errorf("looking up a user: %w", err)
	}
	return Comparison{User: row.User, Generation: row.Generation}, append([]string{row.Hash}, row.Repeated...), nil
}

// renewHash hashes a password again with the current costs, unless it was replaced meanwhile. The password is the same, so
// its generation stays.
func (p *Passwords) renewHash(ctx context.Context, place slowhash.Place, user uuid.UUID, password secret.Text, stored string) error {
	fresh, err := place.Hash(ctx, canonical(password), "")
	if err != nil {
		return fmt.Errorf("hashing a password again: %w", err)
	}
	const q = `update users set password_hash = $3 where id = $1 and password_hash = $2`
	if _, err := p.db.ExecContext(ctx, q, user, stored, fresh); err != nil {
		return fmt.Errorf("renewing a password hash: %w", err)
	}
	return nil
}

// Prove compares the candidate with the signed-in user's password and returns the password's generation. All sessions of the user
// share a guess budget, which logins do not charge. Prove records a wrong candidate under this action and returns ErrWrong. It
// returns caller.ErrInvalid when the user was deleted, and the errors of Compare.
func (p *Passwords) Prove(ctx context.Context, action string, candidate secret.Text) (uuid.UUID, error) {
	who := caller.From(ctx)
	place, err := p.pool.Reserve(tenant(ctx))
	if err != nil {
		return uuid.Nil, err
	}
	defer place.Release()
	c, err := p.compare(ctx, place, p.guesses(budget.PasswordSignedIn), who.ID.String(), who.Email, candidate)
	switch {
	case err != nil:
		return uuid.Nil, err
	case c.User.ID != who.ID:
		return uuid.Nil, caller.ErrInvalid
	case !c.Right:
		event := audit.Event{Action: action, TargetID: audit.ID(who.ID), Details: map[string]any{"why": "wrong_password"}}
		return uuid.Nil, audit.RecordRefusal(ctx, p.db, event, ErrWrong)
	}
	return c.Generation, nil
}
