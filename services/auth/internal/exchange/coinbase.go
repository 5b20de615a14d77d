package exchange

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// askCoinbase reads the profiles of the account, at Coinbase Exchange (docs.cdp.coinbase.com, "Exchange REST API
// Authentication"), whose keys are those with a passphrase.
func askCoinbase(q question) (call, error) {
	const path = "/profiles"
	at := strconv.FormatInt(q.now.Unix(), 10)
	signature, err := signCoinbase(q.APISecret.Reveal(), at+http.MethodGet+path)
	return call{method: http.MethodGet, path: path, header: map[string]string{
		"CB-ACCESS-KEY":        q.APIKey.Reveal(),
		"CB-ACCESS-SIGN":       signature,
		"CB-ACCESS-TIMESTAMP":  at,
		"CB-ACCESS-PASSPHRASE": q.Passphrase.Reveal(),
	}}, err
}

// signCoinbase signs the time, the method, the path and the body, one behind the other. Secrets are base64.
func signCoinbase(secret, text string) (string, error) {
	key, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		return "", errUnsignable
	}
	return base64.StdEncoding.EncodeToString(mac(sha256.New, key, text)), nil
}

func readCoinbase(status int, body []byte) Code {
	if status == http.StatusOK {
		var profiles []struct {
			Active bool `json:"active"`
		}
		if json.Unmarshal(body, &profiles) != nil || profiles == nil {
			return Unreachable
		}
		for _, p := range profiles {
			if p.Active {
				return OK
			}
		}
		return NoAccountAccess
	}
	var refusal struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(body, &refusal) != nil || refusal.Message == "" {
		return Unreachable
	}
	// There are no codes; these words have been the same for years.
	switch said := strings.ToLower(refusal.Message); {
	case strings.Contains(said, "timestamp"):
		return Unreachable
	case strings.Contains(said, "whitelist") || strings.Contains(said, "allowlist"):
		return IPNotWhitelisted
	case status == http.StatusUnauthorized, strings.HasPrefix(said, "invalid api key"), strings.HasPrefix(said, "invalid signature"),
		strings.HasPrefix(said, "invalid passphrase"):
		return InvalidCredentials
	case status == http.StatusForbidden:
		return ScopeMissing
	}
	return Unreachable
}
