// Package caller describes the caller of a request: its kind, its rights, and how recently a user proved the session. A
// middleware authenticates the credential and puts the Caller into the context.
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

// Kind is the kind of a caller.
type Kind string

// The kinds of callers, in the words of the audit trail.
const (
	User     Kind = "user"
	APIKey   Kind = "api_key"
	ProxyKey Kind = "proxy_key"
	// Link is a person who followed the link of an approval or of an enrolment. Its ID is the approval's id; an enrolment has none.
	Link      Kind = "link"
	Operator  Kind = "operator"
	Anonymous Kind = "anonymous"
)

// The authentication and authorization errors of every service.
var (
	ErrNotAuthenticated = fault.New(fault.Unauthenticated, "not_authenticated", "Not authenticated")
	ErrInvalid          = fault.New(fault.Unauthenticated, "invalid_credentials", "Invalid, expired or revoked credentials")
	ErrForbidden        = fault.New(fault.Forbidden, "forbidden", "Not allowed with these credentials")
)

// Caller is the caller of one request.
type Caller struct {
	Kind Kind
	// ID is the id of the user, the API key, the proxy key or the approval.
	ID uuid.UUID
	// RequestID and Address (the client's IP address) go into the audit trail.
	RequestID, Address string

	// The following fields are set for a user. Email is confirmed. SessionID names the sign-in session, and AMR its
	// authentication methods (RFC 8176). ProvedAgo is the time since the user last proved that session, by Postgres's clock.
	Email     string
	Admin     bool
	SessionID uuid.UUID
	AMR       []string
	ProvedAgo time.Duration

	// Scopes are set for an API key: "admin", "read", or both.
	Scopes []string

	// The following fields are set for a proxy key: the key that the request presented, and its instance.
	Key        token.Token
	InstanceID uuid.UUID
}

// MayChange reports whether the caller may change all data of the deployment.
func (c Caller) MayChange() bool {
	return c.Kind == User && c.Admin || c.HasScope("admin")
}

// MayRead reports whether the caller may read all data of the deployment.
func (c Caller) MayRead() bool {
	return c.MayChange() || c.HasScope("read")
}

// HasScope reports whether the caller is an API key with a scope. The scope admin includes the scope read.
func (c Caller) HasScope(scope string) bool {
	return c.Kind == APIKey && (slices.Contains(c.Scopes, scope) || scope == "read" && slices.Contains(c.Scopes, "admin"))
}

// freshFor is how long a sign-in or a step-up counts as fresh.
const freshFor = 5 * time.Minute

// ErrNotFresh asks for a step-up (RFC 9470).
var ErrNotFresh = fault.New(fault.Unauthenticated, "insufficient_user_authentication", "Sign in again to do this").
	WithChallenge(fmt.Sprintf(`error="insufficient_user_authentication", error_description="A sign-in of the last 5 minutes is needed", max_age="%d"`, int(freshFor.Seconds())))

// RequireFresh returns ErrNotFresh when the caller is a user who proved the session more than 5 minutes ago.
func RequireFresh(ctx context.Context) error {
	if c := From(ctx); c.Kind == User && c.ProvedAgo > freshFor {
		return ErrNotFresh
	}
	return nil
}

type contextKey struct{}

// NewContext returns a context that carries c.
func NewContext(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// From returns the caller in the context, or the zero Caller when the context has no caller.
func From(ctx context.Context) Caller {
	c, _ := ctx.Value(contextKey{}).(Caller)
	return c
}

// ActingAs returns a context whose caller is this user, with the same request id and address. Call it after the request has
// authenticated the user, for example with a password.
func ActingAs(ctx context.Context, user uuid.UUID) context.Context {
	c := From(ctx)
	c.Kind, c.ID = User, user
	return NewContext(ctx, c)
}
