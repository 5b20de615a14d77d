// Package keys makes keys for PIN_KEYS and AUTH_KEYS, and counts the values that are stored under each key. A key may be removed
// when its count is 0.
package keys

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/approval"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/pin"
	"github.com/countersign/countersign/services/auth/operator"
)

// The names of the keyrings.
const (
	PIN  = "PIN_KEYS"
	Auth = "AUTH_KEYS"
)

// dateLayout is the layout of the date at the start of a key id that New makes.
const dateLayout = "20060102"

// New returns a random entry for a keyring, as id:base64. The id begins with today's date (UTC).
func New() string {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails: the runtime aborts when the system has no randomness
	id := time.Now().UTC().Format(dateLayout) + "-" + strings.ToLower(rand.Text()[:6])
	return id + ":" + base64.StdEncoding.EncodeToString(secret)
}

// Date returns the day on which New made the key with this id. ok is false when the id does not begin with a date.
func Date(id string) (day time.Time, ok bool) {
	day, err := time.Parse(dateLayout, strings.SplitN(id, "-", 2)[0])
	return day, err == nil
}

// Count is the number of values of one kind that are stored under one key.
type Count struct {
	// Ring is PIN or Auth.
	Ring string
	// KeyID is "(none)" for a value without a key.
	KeyID string
	// Values names the kind in the plural, for example "signing keys".
	Values string
	Count  int
}

// CountAll counts the values that are stored under each key of both keyrings, ordered by keyring, key and kind.
func CountAll(ctx context.Context, db *sqlx.DB) ([]Count, error) {
	var counts []Count
	sealed, err := operator.CountSealed(ctx, db)
	if err != nil {
		return nil, err
	}
	for _, c := range sealed {
		counts = append(counts, Count{Auth, c.KeyID, c.Values, c.Count})
	}
	for _, column := range approval.Sealed {
		byKey, err := column.Count(ctx, db)
		if err != nil {
			return nil, err
		}
		counts = add(counts, column.Values, byKey)
	}
	approvals, err := approval.CountByKey(ctx, db)
	if err != nil {
		return nil, err
	}
	pins, err := pin.CountByKey(ctx, db)
	if err != nil {
		return nil, err
	}
	counts = add(add(counts, "open approvals", approvals), "PINs", pins)
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Ring, b.Ring), cmp.Compare(a.KeyID, b.KeyID), cmp.Compare(a.Values, b.Values))
	})
	return counts, nil
}

// add appends the counts of one kind of values that are stored under PIN_KEYS.
func add(counts []Count, values string, byKey map[string]int) []Count {
	for id, n := range byKey {
		counts = append(counts, Count{PIN, cmp.Or(id, "(none)"), values, n})
	}
	return counts
}

// RenewPIN seals again under the current key of ring, PIN_KEYS, what can be sealed again. PINs and approvals cannot: a PIN moves to
// the current key when its holder types it, and an approval ends. The services may run at the same time. The error is
// keyring.ErrUnknownKey if a value is sealed under a key that is not on the ring.
func RenewPIN(ctx context.Context, db *sqlx.DB, ring *keyring.Ring) error {
	for _, column := range approval.Sealed {
		if err := column.Renew(ctx, db, ring); err != nil {
			return err
		}
	}
	return nil
}

// Print writes the counts as a table.
func Print(out io.Writer, counts []Count) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RING\tKEY ID\tWHAT\tCOUNT")
	for _, c := range counts {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\n", c.Ring, c.KeyID, c.Values, c.Count)
	}
	return table.Flush()
}
