// Package fault defines failures that may be shown to the caller. A domain package declares its faults beside the code that
// returns them. Only package web knows the HTTP status of a Kind. Any other error is internal, and its text is never shown to
// the caller.
package fault

import "time"

// Kind is the category of a failure.
type Kind int

const (
	// Invalid: a value in the request is not acceptable. Field names it.
	Invalid Kind = iota + 1
	// Malformed: the request cannot be parsed.
	Malformed
	// Unauthenticated: the credential is missing, wrong, expired or revoked.
	Unauthenticated
	// Forbidden: the caller is authenticated but may not do this.
	Forbidden
	// NotFound: the object does not exist, or the caller may not see it.
	NotFound
	// Conflict: the present state of the object does not allow this.
	Conflict
	// TooLarge: the body is larger than the limit.
	TooLarge
	// RateLimited: too many requests. After says when to try again.
	RateLimited
	// Unavailable: the service is overloaded, or a store is unreachable. After says when to try again.
	Unavailable
)

// Error is a failure that may be shown to the caller. errors.Is compares the codes.
type Error struct {
	Kind Kind
	// Code is the name of the failure for programs.
	Code string
	// Text is the message for people. It never repeats a value from the request.
	Text string
	// Field is the field of the body that is Invalid. Empty means the whole body.
	Field string
	// After is the time to wait before another try. Zero means no advice.
	After time.Duration
	// LockedUntil is the end of the lock that the failure reports. Zero means that the failure reports no end of a lock.
	LockedUntil time.Time
	// Challenge is what an Unauthenticated caller must prove in addition, as parameters of the header WWW-Authenticate.
	Challenge string
}

// New returns a failure.
func New(kind Kind, code, text string) *Error {
	return &Error{Kind: kind, Code: code, Text: text}
}

// About returns a copy with a Field.
func (e *Error) About(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// RetryAfter returns a copy with After.
func (e *Error) RetryAfter(d time.Duration) *Error {
	c := *e
	c.After = d
	return &c
}

// Until returns a copy with LockedUntil.
func (e *Error) Until(end time.Time) *Error {
	c := *e
	c.LockedUntil = end
	return &c
}

// WithChallenge returns a copy with a Challenge.
func (e *Error) WithChallenge(challenge string) *Error {
	c := *e
	c.Challenge = challenge
	return &c
}

func (e *Error) Error() string { return e.Text }

// Is reports whether target has the same Code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}
