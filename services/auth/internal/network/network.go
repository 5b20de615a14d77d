// Package network remembers the networks from which users signed in. Logins from a known network have a guess budget of their
// own, so a stranger who guesses from elsewhere cannot lock the user out there. A network is what a rate limit counts as one
// client: an IPv4 address or an IPv6 /64. Larger networks have too many strangers.
package network

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/countersign/countersign/pkg/budget"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/ratelimit"
)

const (
	// knownFor is how long a network stays known after the last sign-in.
	knownFor = 30 * 24 * time.Hour
	// most is how many networks of a user have a guess budget: those that were used last. An attacker could guess in each of them.
	most = 5
)

// Networks stores the known networks of users. The network of a request is that of caller.Caller.Address, which a client
// cannot forge (web.Options.TrustedProxies).
type Networks struct {
	DB   *sqlx.DB
	Ring *keyring.Ring
}

// Budget returns the subject of the guess budget for logins to an address (in lower case) from the request's network. It returns
// an empty string when the network is not known. For an address without a user it does the same work.
func (n *Networks) Budget(ctx context.Context, email string) (string, error) {
	const q = `
		select k.user_id, k.network from users u join known_networks k on k.user_id = u.id
		 where lower(u.email) = lower($1) and u.email = $1 and k.used_at > now() - make_interval(secs => $2)
		 order by k.used_at desc limit $3`
	var known []struct {
		User    uuid.UUID `db:"user_id"`
		Network []byte    `db:"network"`
	}
	if err := n.DB.SelectContext(ctx, &known, q, email, knownFor.Seconds(), most); err != nil {
		return "", fmt.Errorf("looking up known networks: %w", err)
	}
	var user uuid.UUID
	if len(known) > 0 {
		user = known[0].User
	}
	hashes, err := n.hashes(ctx, user)
	if err != nil {
		return "", err
	}
	for _, k := range known {
		if slices.ContainsFunc(hashes, func(hash []byte) bool { return hmac.Equal(hash, k.Network) }) {
			return subject(user, k.Network), nil
		}
	}
	return "", nil
}

// Remember makes the request's network known after a sign-in. It reports whether the user signed in there within the last 30
// days before. Of parallel sign-ins from a new network, one reports false.
func (n *Networks) Remember(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) (known bool, err error) {
	hashes, err := n.hashes(ctx, user)
	if err != nil || len(hashes) == 0 {
		return false, err
	}
	const again = `
		update known_networks set used_at = now()
		 where user_id = $1 and network = any ($2) and signed_in and used_at > now() - make_interval(secs => $3)`
	if changed, err := rows(tx.ExecContext(ctx, again, user, pq.ByteaArray(hashes), knownFor.Seconds())); err != nil || changed > 0 {
		return changed > 0, err
	}
	const first = `
		insert into known_networks as k (user_id, network, signed_in) values ($1, $2, true)
		on conflict (user_id, network) do update set signed_in = true, used_at = now()
		 where not (k.signed_in and k.used_at > now() - make_interval(secs => $3))`
	changed, err := rows(tx.ExecContext(ctx, first, user, hashes[0], knownFor.Seconds()))
	if err != nil || changed == 0 {
		return err == nil, err
	}
	return false, renew(ctx, tx, user, hashes[0])
}

// KeepCurrent forgets every network of a user except the request's, and makes this one known. Call it when the user sets a new
// password: a party that knew the old password may have made its network known. And the user can sign in from this network,
// although strangers continue to guess.
func (n *Networks) KeepCurrent(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) error {
	hashes, err := n.hashes(ctx, user)
	if err != nil {
		return err
	}
	const others = `delete from known_networks where user_id = $1 and network <> all ($2)`
	if _, err := tx.ExecContext(ctx, others, user, pq.ByteaArray(hashes)); err != nil {
		return fmt.Errorf("forgetting networks: %w", err)
	}
	if len(hashes) == 0 {
		return nil
	}
	const current = `
		insert into known_networks (user_id, network, signed_in) values ($1, $2, false)
		on conflict (user_id, network) do update set used_at = now()`
	if _, err := tx.ExecContext(ctx, current, user, hashes[0]); err != nil {
		return fmt.Errorf("remembering a network: %w", err)
	}
	return renew(ctx, tx, user, hashes[0])
}

// Forget forgets all networks of a user.
func Forget(ctx context.Context, tx *sqlx.Tx, user uuid.UUID) error {
	if _, err := tx.ExecContext(ctx, `delete from known_networks where user_id = $1`, user); err != nil {
		return fmt.Errorf("forgetting networks: %w", err)
	}
	return nil
}

// hashes returns what is stored for the request's network, under each key of the ring; the current key is the first. It returns
// nothing when the request has no address. The user's id is in the hash, so that two rows do not show that two users share a
// network.
func (n *Networks) hashes(ctx context.Context, user uuid.UUID) ([][]byte, error) {
	address := caller.From(ctx).Address
	if address == "" {
		return nil, nil
	}
	var hashes [][]byte
	for _, id := range n.Ring.IDs() {
		subkey, err := n.Ring.Subkey(id, keyring.KnownNetworks)
		if err != nil {
			return nil, fmt.Errorf("deriving the key of known networks: %w", err)
		}
		mac := hmac.New(sha256.New, subkey)
		mac.Write(user[:])
		mac.Write([]byte(ratelimit.Networks(address)[0]))
		hashes = append(hashes, mac.Sum(nil))
	}
	return hashes, nil
}

// rows returns how many rows a statement changed.
func rows(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, fmt.Errorf("remembering a network: %w", err)
	}
	return result.RowsAffected()
}

func subject(user uuid.UUID, hash []byte) string {
	return user.String() + " " + hex.EncodeToString(hash)
}

// renew renews the guess budget of a network that becomes known: the user has proved the password or the mailbox.
func renew(ctx context.Context, tx *sqlx.Tx, user uuid.UUID, hash []byte) error {
	return budget.Guesses{Kind: budget.PasswordKnownNetwork}.Renew(ctx, tx, subject(user, hash))
}
