// Package knownbrowser remembers the browsers in which people gave their PIN to a page of Countersign. A known browser shows the
// phrase that the customer chose, so that people notice a false page. An instance may demand a known browser for approvals.
//
// A browser is known for one PIN. A set or removal of this PIN from elsewhere ends all browsers that are known for it, because the
// PIN's generation changes.
package knownbrowser

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/stores"
	"github.com/countersign/countersign/pkg/token"
)

// Lifetime is how long a browser keeps the cookie after a PIN was last given in it. Browsers keep no cookie for longer than 400
// days (draft-ietf-httpbis-rfc6265bis, section 5.5).
const Lifetime = 400 * 24 * time.Hour

// The names of the cookie. A browser accepts a name with __Host- only from a secure origin, only for this host, and not from another
// host of the same site (rfc6265bis, section 4.1.3.2). Not every browser counts http on a loopback address as secure.
const (
	secureName   = "__Host-countersign-browser"
	loopbackName = "countersign-browser"
)

// Browsers remembers browsers.
type Browsers struct {
	DB *sqlx.DB
	// Secure is false if people reach the pages over http, which is allowed for a loopback address only.
	Secure bool
}

// Browser is the browser of one request. It prints its token as [redacted].
type Browser struct {
	token token.Token
	// given is true if the request had a valid cookie.
	given bool
}

// Hash returns the SHA-256 of the browser's cookie, or nil if the request had none.
func (b Browser) Hash() []byte {
	if !b.given {
		return nil
	}
	return b.token.Hash()
}

type contextKey struct{}

// NewContext returns a context with the browser that sent a request.
func (k Browsers) NewContext(ctx context.Context, r *http.Request) context.Context {
	var b Browser
	for _, cookie := range r.CookiesNamed(k.name()) {
		if t, err := token.Parse(token.Browser, cookie.Value, 0); err == nil {
			b = Browser{t, true}
		}
	}
	return context.WithValue(ctx, contextKey{}, b)
}

// From returns the browser in a context, or the zero Browser.
func From(ctx context.Context) Browser {
	b, _ := ctx.Value(contextKey{}).(Browser)
	return b
}

func (k Browsers) name() string {
	if k.Secure {
		return secureName
	}
	return loopbackName
}

// Remember makes a browser known for the PIN with a holder and a generation, and returns the cookie for the answer. It returns nil if
// this PIN was changed meanwhile. A browser keeps a cookie that is known for any PIN, because several people may use the browser.
// Otherwise it gets a new cookie: its present value may be known to somebody else.
func (k Browsers) Remember(ctx context.Context, b Browser, holder, generation uuid.UUID) (cookie *http.Cookie, err error) {
	err = stores.InTransaction(ctx, k.DB, func(tx *sqlx.Tx) error {
		cookie, err = k.remember(ctx, tx, b, holder, uuid.NullUUID{UUID: generation, Valid: true})
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil // the PIN was changed
	}
	return cookie, err
}

// RememberIn does the same as Remember, in the transaction that has set the holder's PIN.
func (k Browsers) RememberIn(ctx context.Context, tx *sqlx.Tx, b Browser, holder uuid.UUID) (*http.Cookie, error) {
	return k.remember(ctx, tx, b, holder, uuid.NullUUID{})
}

// remember remembers the browser for the present PIN of a holder, or returns sql.ErrNoRows if this PIN has another generation (null:
// any).
func (k Browsers) remember(ctx context.Context, tx *sqlx.Tx, b Browser, holder uuid.UUID, generation uuid.NullUUID) (*http.Cookie, error) {
	known := false
	if err := tx.GetContext(ctx, &known, `select exists (select from known_browsers where browser_hash = $1)`, b.Hash()); err != nil {
		return nil, fmt.Errorf("looking for a browser: %w", err)
	}
	if !known {
		b = Browser{token.New(token.Browser), true}
	}
	if err := record(ctx, tx, b, holder, generation); err != nil {
		return nil, fmt.Errorf("remembering a browser: %w", err)
	}
	return &http.Cookie{
		Name: k.name(), Value: b.token.Reveal(), Path: "/", MaxAge: int(Lifetime.Seconds()), Secure: k.Secure, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}, nil
}

// record writes the row of a browser and a PIN, and an event if the browser was not known for this PIN.
func record(ctx context.Context, tx *sqlx.Tx, b Browser, holder uuid.UUID, generation uuid.NullUUID) error {
	const q = `
		with holder as (
		    select h.holder_id, h.customer_id, h.identity_id, h.generation from pin_holders h 
		     where h.holder_id = $2 and h.generation = coalesce($3, h.generation)
		), known as (
		    insert into known_browsers as k (browser_hash, holder_id, generation)
		    select $1, holder_id, generation from holder
		    on conflict (browser_hash, holder_id) do update
		       set generation = excluded.generation, used_at = now(),
		           known_at = case when k.generation = excluded.generation then k.known_at else now() end
		    returning k.known_at = now() as new
		)
		select holder.customer_id, holder.identity_id, known.new from holder, known`
	var row struct {
		CustomerID uuid.NullUUID `db:"customer_id"`
		IdentityID uuid.NullUUID `db:"identity_id"`
		New        bool          `db:"new"`
	}
	if err := tx.GetContext(ctx, &row, q, b.Hash(), holder, generation); err != nil || !row.New {
		return err
	}
	return audit.Record(ctx, tx, audit.Event{Action: "browser.known", CustomerID: row.CustomerID, IdentityID: row.IdentityID})
}
