// Package fault is the vocabulary of failures: what went wrong, in words that are safe to show to whoever asked. Domain
// packages declare their faults beside what they concern; package web alone knows the HTTP status of a Kind. An error
// that is no fault is our own, and is shown to nobody.
package fault

import "time"

// Kind says whose failure it is and what can be done about it.
type Kind int

const (
	// Invalid: what was sent cannot be accepted; Field names the part.
	Invalid Kind = iota + 1
	// Malformed: the request cannot be read at all.
	Malformed
	// Unauthenticated: the credential is missing, wrong, expired or revoked.
	Unauthenticated
	// Forbidden: the caller is known and may not do this.
	Forbidden
	// NotFound: there is no such thing within what the caller may see.
	NotFound
	// Conflict: it cannot be done in the present state of the thing.
	Conflict
	// TooLarge: the body is over the limit.
	TooLarge
	// RateLimited: too many requests; After says when to try again.
	RateLimited
	// Unavailable: overload or a store that is away; After says when to try again.
	Unavailable
)

// Error is a failure that may be told. Compare with errors.Is: two are the same when their codes are.
type Error struct {
	Kind Kind
	// Code is the failure's name for programs.
	Code string
	// Text is for people. It never repeats what was sent.
	Text string
	// Field is the part of the body an Invalid is about; empty: the body as a whole.
	Field string
	// After is how long to wait before another try; zero: no advice.
	After time.Duration
	// Challenge says to a program what an Unauthenticated needs beyond a credential, as parameters of the header
	// WWW-Authenticate; empty: nothing.
	Challenge string
}

// New declares a failure.
func New(kind Kind, code, text string) *Error {
	return &Error{Kind: kind, Code: code, Text: text}
}

// About returns a copy that names the field it is about.
func (e *Error) About(field string) *Error {
	c := *e
	c.Field = field
	return &c
}

// RetryAfter returns a copy that advises to wait for d.
func (e *Error) RetryAfter(d time.Duration) *Error {
	c := *e
	c.After = d
	return &c
}

// Asking returns a copy that says what is needed, as parameters of a WWW-Authenticate challenge.
func (e *Error) Asking(challenge string) *Error {
	c := *e
	c.Challenge = challenge
	return &c
}

func (e *Error) Error() string { return e.Text }

// Is reports whether target is the same failure, whatever its field or advice.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}
