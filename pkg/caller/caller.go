// Package caller answers who is calling: it turns a credential into a Caller, asking the database each time, so that a
// revocation holds from the next request on at every replica.
package caller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/token"
)

// Kind is the sort of credential that was shown.
type Kind string

// The kinds of callers, as the audit trail names them.
const (
	User      Kind = "user"
	APIKey    Kind = "api_key"
	ProxyKey  Kind = "proxy_key"
	Operator  Kind = "operator"
	Anonymous Kind = "anonymous"
)

// The failures that every service answers alike.
var (
	ErrNotAuthenticated = fault.New(fault.Unauthenticated, "not_authenticated", "Not authenticated")
	ErrInvalid          = fault.New(fault.Unauthenticated, "invalid_credentials", "Invalid, expired or revoked credentials")
	ErrForbidden        = fault.New(fault.Forbidden, "forbidden", "Not allowed with these credentials")
)

// Caller is who is calling, and by which request.
type Caller struct {
	Kind Kind
	// ID is the user's, the API key's or the proxy key's.
	ID uuid.UUID
	// RequestID and Address say by which request and from where, for the audit trail.
	RequestID, Address string

	// Of a user: the address (confirmed), whether it is an admin, the sign-in session, the methods by which that was proved
	// (RFC 8176), and how long ago it last was, by Postgres's clock.
	Email     string
	Admin     bool
	SessionID uuid.UUID
	AMR       []string
	ProvedAgo time.Duration

	// Of an API key.
	Scopes []string

	// Of a proxy key: the key as it was shown, and the instance that it opens.
	Key        token.Token
	InstanceID uuid.UUID
}

// MayChange reports whether the caller may change everything in the deployment.
func (c Caller) MayChange() bool {
	return c.Kind == User && c.Admin || c.HasScope("admin")
}

// MayRead reports whether the caller may see everything in the deployment.
func (c Caller) MayRead() bool {
	return c.MayChange() || c.HasScope("read")
}

// HasScope reports whether an API key may do what a scope says. Who may change everything may also read it.
func (c Caller) HasScope(scope string) bool {
	return c.Kind == APIKey && (slices.Contains(c.Scopes, scope) || scope == "read" && slices.Contains(c.Scopes, "admin"))
}

// freshFor is how long after a sign-in or a step-up a session may do what matters more than being signed in.
const freshFor = 5 * time.Minute

// ErrNotFresh asks for a step-up (RFC 9470).
var ErrNotFresh = fault.New(fault.Unauthenticated, "insufficient_user_authentication", "Sign in again to do this").
	Asking(fmt.Sprintf(`error="insufficient_user_authentication", error_description="A sign-in of the last 5 minutes is needed", max_age="%d"`, int(freshFor.Seconds())))

// RequireFresh returns ErrNotFresh when the caller is a user whose session was last proved more than 5 minutes ago.
func RequireFresh(ctx context.Context) error {
	if who := From(ctx); who.Kind == User && who.ProvedAgo > freshFor {
		return ErrNotFresh
	}
	return nil
}

type contextKey struct{}

// NewContext returns a context that carries c.
func NewContext(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// From returns the caller that the context carries; the zero Caller when it carries none.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(contextKey{}).(Caller)
	return c
}
