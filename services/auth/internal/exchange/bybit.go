package exchange

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
)

// bybitWindow is how many milliseconds a signed call is good for.
const bybitWindow = "5000"

// askBybit reads the account's settings (bybit-exchange.github.io, "Integration Guidance"): all keys may, whatever the kind
// of the account.
func askBybit(q question) (call, error) {
	return call{method: http.MethodGet, path: "/v5/account/info", header: map[string]string{
		"X-BAPI-API-KEY":     q.APIKey.Reveal(),
		"X-BAPI-TIMESTAMP":   q.millis(),
		"X-BAPI-RECV-WINDOW": bybitWindow,
		"X-BAPI-SIGN":        signBybit(q.APISecret.Reveal(), q.millis()+q.APIKey.Reveal()+bybitWindow), // and the query, which is empty
	}}, nil
}

// signBybit signs the time, the key, the window and the query, one behind the other.
func signBybit(secret, text string) string {
	return hex.EncodeToString(mac(sha256.New, []byte(secret), text))
}

func readBybit(status int, body []byte) Code {
	if status == http.StatusUnauthorized {
		return InvalidCredentials // often without a body
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
	case 10003, 10004, 10007, 33004, -2015: // unknown key, bad signature, failed authentication, expired
		return InvalidCredentials
	case 10005:
		return ScopeMissing
	case 10010:
		return IPNotWhitelisted
	case 10008, 10024: // banned, closed by compliance rules
		return NoAccountAccess
	}
	return Unreachable
}
