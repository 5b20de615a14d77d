package tools

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/countersign/countersign/pkg/client"
)

// Admin registers skills at pin-admin.
type Admin struct {
	base string
	key  client.Secret
	http *http.Client
}

// NewAdmin returns an Admin for an instance. key is an API key with the scope admin.
func NewAdmin(adminURL *url.URL, instance string, key client.Secret) *Admin {
	// A redirect would send the key to another address.
	refuse := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Admin{adminURL.JoinPath("v1/instances", instance, "skills").String(), key, &http.Client{CheckRedirect: refuse, Timeout: 30 * time.Second}}
}

// Store registers the skill of a proposal. A skill that exists stays as it is, unless overwrite is set. stored says whether the skill
// is new or replaced.
func (a *Admin) Store(ctx context.Context, p Proposal, overwrite bool) (stored bool, err error) {
	if !overwrite {
		status, _, err := a.send(ctx, http.MethodGet, p.Skill, nil)
		if err != nil {
			return false, err
		}
		if status == http.StatusOK {
			return false, nil
		}
		if status != http.StatusNotFound {
			return false, refused(status, "")
		}
	}
	body, err := json.Marshal(p.Body)
	if err != nil {
		return false, fmt.Errorf("encoding a skill: %w", err)
	}
	status, detail, err := a.send(ctx, http.MethodPut, p.Skill, body)
	if err != nil {
		return false, err
	}
	if status != http.StatusOK && status != http.StatusCreated {
		return false, refused(status, detail)
	}
	return true, nil
}

// ErrAll means that the other skills cannot be stored either: pin-admin cannot be reached, does not accept the API key, or does not know the
// instance.
var ErrAll = errors.New("no skill can be registered")

// refused returns the error for an answer that did not store a skill.
func refused(status int, detail string) error {
	switch status {
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: pin-admin says that the API key is not valid; check COUNTERSIGN_ADMIN_KEY", ErrAll)
	case http.StatusForbidden:
		return fmt.Errorf("%w: the API key in COUNTERSIGN_ADMIN_KEY does not have the scope admin", ErrAll)
	case http.StatusNotFound:
		return fmt.Errorf("%w: there is no such instance; check --instance and --admin-url", ErrAll)
	}
	if detail != "" {
		return fmt.Errorf("pin-admin refused the skill: %s", Printable(detail))
	}
	return fmt.Errorf("pin-admin answered with the HTTP status %d", status)
}

func (a *Admin) send(ctx context.Context, method, skill string, body []byte) (status int, detail string, err error) {
	out, err := http.NewRequestWithContext(ctx, method, a.base+"/"+url.PathEscape(skill), bytes.NewReader(body))
	if err != nil {
		return 0, "", fmt.Errorf("asking pin-admin: %w", err)
	}
	out.Header.Set("X-Api-Key", a.key.Reveal())
	if body != nil {
		out.Header.Set("Content-Type", "application/json")
	}
	answer, err := a.http.Do(out)
	if err != nil {
		var sending *url.Error // its text repeats the URL
		if errors.As(err, &sending) {
			err = sending.Err
		}
		return 0, "", fmt.Errorf("%w: asking pin-admin: %w; check --admin-url", ErrAll, err)
	}
	defer answer.Body.Close()
	var content struct {
		Detail json.RawMessage `json:"detail"`
	}
	_ = json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&content) // the status decides
	var issues []struct {
		Message string `json:"msg"`
	}
	if json.Unmarshal(content.Detail, &detail) != nil && json.Unmarshal(content.Detail, &issues) == nil && len(issues) > 0 {
		detail = issues[0].Message
	}
	return answer.StatusCode, detail, nil
}
