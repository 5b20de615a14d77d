package proxy

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/countersign/countersign/services/gate/internal/bearer"
	"github.com/countersign/countersign/services/gate/internal/message"
)

// metadataPath is where RFC 9728 puts the metadata of a protected resource. The path of the resource follows it.
const metadataPath = "/.well-known/oauth-protected-resource"

// metadata answers a request for the metadata of the gate, which tells a client where to get a token. It returns false if the request
// is something else.
func (p *proxy) metadata(w http.ResponseWriter, r *http.Request, path string) bool {
	if p.Tokens == nil || p.PublicURL == nil || r.Method != http.MethodGet || path != metadataPath && path != p.metadataPath() {
		return false
	}
	body, err := json.Marshal(map[string]any{
		"resource":                 p.PublicURL.String(),
		"authorization_servers":    []string{p.Tokens.Issuer()},
		"bearer_methods_supported": []string{"header"},
	})
	if err != nil {
		p.fail(w, r, http.StatusInternalServerError, nil, message.CodeRefused, "the metadata cannot be written")
		return true
	}
	p.own(w, r, "application/json")
	w.Write(body)
	return true
}

func (p *proxy) metadataPath() string {
	return metadataPath + strings.TrimSuffix(p.PublicURL.EscapedPath(), "/")
}

// subject verifies the access token of a request. If it returns false, it has answered.
func (p *proxy) subject(w http.ResponseWriter, r *http.Request) (string, bool) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		p.challenge(w, r, "")
		return "", false
	}
	subject, err := p.Tokens.Subject(r.Context(), token)
	switch {
	case err == nil:
		return subject, true
	case errors.Is(err, bearer.ErrInvalid):
		p.challenge(w, r, "invalid_token")
	default:
		p.Log.Error("verifying an access token failed", "error", err)
		w.Header().Set("Retry-After", "5")
		p.fail(w, r, http.StatusServiceUnavailable, nil, message.CodeRefused, "the access token cannot be verified now")
	}
	return "", false
}

// challenge answers a request without a valid access token (RFC 6750, RFC 9728).
func (p *proxy) challenge(w http.ResponseWriter, r *http.Request, code string) {
	var parameters []string
	if code != "" {
		parameters = append(parameters, `error="`+code+`"`)
	}
	if p.PublicURL != nil {
		location := *p.PublicURL
		location.RawQuery, location.Fragment = "", ""
		location.Path, location.RawPath = "", ""
		parameters = append(parameters, `resource_metadata="`+location.String()+p.metadataPath()+`"`)
	}
	w.Header().Set("WWW-Authenticate", strings.TrimSpace("Bearer "+strings.Join(parameters, ", ")))
	p.fail(w, r, http.StatusUnauthorized, nil, message.CodeRefused, "a valid access token is needed")
}
