package receipt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign/pkg/client/action"
)

// Header is the header field with the receipt of a request.
const Header = "Countersign-Receipt"

// keepUsed is how long the id of a used receipt is kept after the receipt can no longer be accepted. Without it, a request that was
// verified in the last moment could find that the id is deleted already.
const keepUsed = time.Minute

// Endpoint is an HTTP endpoint of a tool server that runs only with a receipt for exactly the action of the request. Every field
// without another remark must be set.
type Endpoint struct {
	Verifier *Verifier
	// Instance is the id of the agent's instance. Skill is the skill that the endpoint runs, and must have the mode approval: a session
	// gives no receipt. A receipt names the skill, not the method and not the path. So give each endpoint its own skill, and route one
	// method to it. If the handler decodes with encoding/json, register the skill with a schema that allows no additional properties:
	// encoding/json does not distinguish "to" and "To", and the summary that the person reads does.
	Instance, Skill string
	// Customer returns the id of the customer on whose behalf the request is. Take it from what authenticates the request.
	Customer func(*http.Request) (string, error)
	// Arguments returns the arguments of the action as a JSON object: everything in the request that the handler obeys, also of the path
	// and of the query. An empty text means no arguments. Nil means that the body is the arguments; then requests with a query are
	// refused, and so is every request of a http.ServeMux pattern with a wildcard.
	Arguments func(r *http.Request, body []byte) (string, error)
	// Once stores the id of a receipt, and reports whether it was not stored before. Insert the id into a table in which it is unique. It
	// can be deleted after expires. InProcess is enough for a server that has one process. Use the same function for all endpoints.
	Once func(ctx context.Context, id string, expires time.Time) (first bool, err error)
	// MaxBody is the greatest number of bytes of a body. 0 means 128 KiB, which is enough for all arguments that
	// can be approved.
	MaxBody int64
}

// Require returns a middleware that runs the next handler once for each receipt. FromContext returns the claims there. Without a
// receipt for the action, the answer is 401 with the error insufficient_user_authentication (RFC 9470): the caller must ask the person.
// A receipt that was used before is answered with 409, because the action may have run.
func (e Endpoint) Require() (func(next http.Handler) http.Handler, error) {
	if e.Verifier == nil || e.Instance == "" || e.Skill == "" || e.Customer == nil || e.Once == nil {
		return nil, errors.New("an endpoint that requires receipts needs a Verifier, Instance, Skill, Customer and Once")
	}
	if e.MaxBody == 0 {
		e.MaxBody = action.MaxInputBytes
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			claims, refused := e.check(w, r)
			if refused != nil {
				refused.answer(w)
				return
			}
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, claims)))
		})
	}, nil
}

type contextKey struct{}

// FromContext returns the claims of the receipt of a request that passed an Endpoint.
func FromContext(ctx context.Context) (Claims, bool) {
	claims, found := ctx.Value(contextKey{}).(Claims)
	return claims, found
}

// refusal is an answer without the action.
type refusal struct {
	status       int
	code, detail string
}

// challenge is the refusal of a request that needs a receipt.
func challenge(detail string) *refusal {
	return &refusal{http.StatusUnauthorized, "insufficient_user_authentication", detail}
}

// check returns the claims of the receipt for the action of a request, after it marked the receipt as used.
func (e Endpoint) check(w http.ResponseWriter, r *http.Request) (Claims, *refusal) {
	receipts := r.Header.Values(Header)
	if len(receipts) != 1 || receipts[0] == "" {
		return Claims{}, challenge("This action needs the approval of the person. Send one receipt in the header " + Header)
	}
	want, refused := e.action(w, r)
	if refused != nil {
		return Claims{}, refused
	}
	claims, err := e.Verifier.Verify(r.Context(), receipts[0], want)
	if errors.Is(err, ErrInvalid) {
		return Claims{}, challenge("The receipt does not prove the approval of this action")
	}
	if err != nil {
		return Claims{}, &refusal{http.StatusServiceUnavailable, "receipt_unchecked", "The receipt cannot be checked now. Nothing was done"}
	}
	first, err := e.Once(r.Context(), claims.ID, time.Unix(claims.ExpiresAt, 0).Add(leeway+keepUsed))
	if err != nil {
		return Claims{}, &refusal{http.StatusServiceUnavailable, "receipt_unchecked", "The use of the receipt cannot be stored now. Nothing was done"}
	}
	if !first {
		return Claims{}, &refusal{http.StatusConflict, "receipt_used", "The receipt was used before. The action may have run"}
	}
	return claims, nil
}

// action returns the action of a request. It leaves the body for the handler.
func (e Endpoint) action(w http.ResponseWriter, r *http.Request) (action.Action, *refusal) {
	customer, err := e.Customer(r)
	if err != nil || customer == "" {
		return action.Action{}, &refusal{http.StatusForbidden, "customer_unknown", "The customer of this request is not known"}
	}
	if e.Arguments == nil && outsideBody(r) {
		return action.Action{}, &refusal{http.StatusUnprocessableEntity, "invalid", "The arguments must be in the body only, not in the path or the query"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, e.MaxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return action.Action{}, &refusal{http.StatusRequestEntityTooLarge, "body_too_large", fmt.Sprintf("The body has more than %d bytes", e.MaxBody)}
	}
	if err != nil {
		return action.Action{}, &refusal{http.StatusBadRequest, "body_unreadable", "The body cannot be read"}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	arguments := string(body)
	if e.Arguments != nil {
		if arguments, err = e.Arguments(r, body); err != nil {
			return action.Action{}, &refusal{http.StatusUnprocessableEntity, "invalid", "The arguments cannot be read"}
		}
		r.Body = io.NopCloser(bytes.NewReader(body)) // the function may have read it
	}
	if arguments, err = action.Canonical([]byte(arguments)); err != nil {
		return action.Action{}, &refusal{http.StatusUnprocessableEntity, "invalid", err.Error()}
	}
	return action.Action{Instance: e.Instance, Customer: customer, Skill: e.Skill, Arguments: arguments}, nil
}

// outsideBody reports whether a request has values in its query, or in the wildcards of its http.ServeMux pattern.
func outsideBody(r *http.Request) bool {
	return r.URL.RawQuery != "" || strings.Contains(strings.TrimSuffix(r.Pattern, "{$}"), "{")
}

// answer writes the refusal as the services of Countersign do.
func (f refusal) answer(w http.ResponseWriter) {
	header := w.Header()
	if f.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", fmt.Sprintf(`Bearer error="%s", error_description="%s"`, f.code, f.detail))
	}
	if f.status == http.StatusServiceUnavailable {
		header.Set("Retry-After", "5")
	}
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Error-Code", f.code)
	w.WriteHeader(f.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"detail": f.detail, "code": f.code})
}

// InProcess returns a function for Endpoint.Once that keeps the ids in memory. Call it once and give the function to all endpoints:
// another function does not know the ids, so a receipt would run once for each. Use it only for a server with one process: another
// process does not know the ids. After a restart, a receipt can be used again until it expires, two minutes after the approval was
// used.
func InProcess() func(context.Context, string, time.Time) (bool, error) {
	var mu sync.Mutex
	used := map[string]time.Time{}
	return func(_ context.Context, id string, expires time.Time) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		for old, end := range used {
			if now.After(end) {
				delete(used, old)
			}
		}
		if _, found := used[id]; found {
			return false, nil
		}
		used[id] = expires
		return true, nil
	}
}
