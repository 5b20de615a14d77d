package account

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"github.com/countersign/countersign/pkg/secret"
	"github.com/countersign/countersign/pkg/slowhash"
)

// everyone is the one tenant of the hashing pool: until a password was checked nobody is known to be anybody.
var everyone = uuid.Nil

// decoy is what a password is compared with when nobody has the address, so that this takes as long as when somebody
// does. It costs what a new hash costs, and no password matches it.
var decoy = func() string {
	sum := make([]byte, 48)
	rand.Read(sum)
	text := base64.RawStdEncoding.EncodeToString
	costs := slowhash.Standing
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", costs.MemoryKiB, costs.Passes, costs.Threads, text(sum[:16]), text(sum[16:]))
}()

// canonical returns the bytes of a password that are hashed. What looks the same to its owner is the same, whichever
// keyboard composed it.
func canonical(password secret.Text) []byte { return norm.NFC.Bytes([]byte(password.Reveal())) }

// renew stores a password anew, under today's costs, unless it was changed meanwhile. It is the same password, so its
// generation stays.
func (a *Accounts) renew(ctx context.Context, user uuid.UUID, password secret.Text, stored string) error {
	fresh, err := a.pool.Hash(ctx, canonical(password), "")
	if err != nil {
		return fmt.Errorf("hashing a password anew: %w", err)
	}
	const q = `update users set password_hash = $3 where id = $1 and password_hash = $2`
	if _, err := a.db.ExecContext(ctx, q, user, stored, fresh); err != nil {
		return fmt.Errorf("renewing a password hash: %w", err)
	}
	return nil
}
