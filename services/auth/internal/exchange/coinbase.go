package exchange

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// buildCoinbase builds a request for the account's profiles at Coinbase Exchange (docs.cdp.coinbase.com, "Exchange REST API
// Authentication"). Among Coinbase's products, only the keys of Coinbase Exchange have a passphrase.
func buildCoinbase(in input) (signedRequest, error) {
	const path = "/profiles"
	at := strconv.FormatInt(in.now.Unix(), 10)
	signature, err := signCoinbase(in.APISecret.Reveal(), at+http.MethodGet+path)
	return signedRequest{method: http.MethodGet, path: path, header: map[string]string{
		"CB-ACCESS-KEY":        in.APIKey.Reveal(),
		"CB-ACCESS-SIGN":       signature,
		"CB-ACCESS-TIMESTAMP":  at,
		"CB-ACCESS-PASSPHRASE": in.Passphrase.Reveal(),
	}}, err
}

// signCoinbase signs the concatenation of time, method, path and body. The secret is in base64.
func signCoinbase(secret, text string) (string, error) {
	key, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		return "", errUnsignable
	}
	return base64.StdEncoding.EncodeToString(mac(sha256.New, key, text)), nil
}

func parseCoinbase(status int, body []byte) Code {
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
	// Coinbase has no error codes. These texts have not changed for years.
	switch message := strings.ToLower(refusal.Message); {
	case strings.Contains(message, "timestamp"):
		return Unreachable
	case strings.Contains(message, "whitelist") || strings.Contains(message, "allowlist"):
		return IPNotWhitelisted
	case status == http.StatusUnauthorized, strings.HasPrefix(message, "invalid api key"), strings.HasPrefix(message, "invalid signature"),
		strings.HasPrefix(message, "invalid passphrase"):
		return InvalidCredentials
	case status == http.StatusForbidden:
		return ScopeMissing
	}
	return Unreachable
}
