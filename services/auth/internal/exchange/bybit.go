package exchange

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
)

// bybitWindow is how long a signed request is valid, in milliseconds.
const bybitWindow = "5000"

// buildBybit builds a request for the account's settings (bybit-exchange.github.io, "Integration Guidance"). Every key may read
// them, for every type of account.
func buildBybit(in input) (signedRequest, error) {
	return signedRequest{method: http.MethodGet, path: "/v5/account/info", header: map[string]string{
		"X-BAPI-API-KEY":     in.APIKey.Reveal(),
		"X-BAPI-TIMESTAMP":   in.millis(),
		"X-BAPI-RECV-WINDOW": bybitWindow,
		"X-BAPI-SIGN":        signBybit(in.APISecret.Reveal(), in.millis()+in.APIKey.Reveal()+bybitWindow), // the query comes last and is empty
	}}, nil
}

// signBybit signs the concatenation of time, key, window and query.
func signBybit(secret, text string) string {
	return hex.EncodeToString(mac(sha256.New, []byte(secret), text))
}

func parseBybit(status int, body []byte) Code {
	if status == http.StatusUnauthorized {
		return InvalidCredentials // such an answer often has no body
	}
	var answer struct {
		Code   *int            `json:"retCode"`
		Result json.RawMessage `json:"result"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Code == nil {
		return Unreachable
	}
	switch *answer.Code {
	case 0:
		if status == http.StatusOK && answer.Result != nil {
			return OK
		}
	case 10003, 10004, 10007, 33004, -2015: // unknown key, wrong signature, failed authentication, expired key
		return InvalidCredentials
	case 10005:
		return ScopeMissing
	case 10010:
		return IPNotWhitelisted
	case 10008, 10024: // the user is banned, or blocked by compliance rules
		return NoAccountAccess
	}
	return Unreachable
}
