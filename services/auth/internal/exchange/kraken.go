package exchange

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

// askKraken reads the balances (docs.kraken.com, "Spot REST Authentication"). Each call of a key needs a greater nonce than
// the one before: milliseconds, as its documentation has them, are the least that leaves the user's own programs going.
func askKraken(q question) (call, error) {
	const path = "/0/private/Balance"
	body := "nonce=" + q.millis()
	signature, err := signKraken(q.APISecret.Reveal(), path, q.millis(), body)
	return call{method: http.MethodPost, path: path, body: body, header: map[string]string{
		"API-Key":      q.APIKey.Reveal(),
		"API-Sign":     signature,
		"Content-Type": "application/x-www-form-urlencoded",
	}}, err
}

// signKraken signs a path and the hash of nonce and body. Secrets are base64.
func signKraken(secret, path, nonce, body string) (string, error) {
	key, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		return "", errUnsignable
	}
	hashed := sha256.Sum256([]byte(nonce + body))
	return base64.StdEncoding.EncodeToString(mac(sha512.New, key, path+string(hashed[:]))), nil
}

func readKraken(status int, body []byte) Code {
	var answer struct {
		Error  []string        `json:"error"`
		Result json.RawMessage `json:"result"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return Unreachable
	}
	if len(answer.Error) == 0 {
		if status == http.StatusOK && answer.Result != nil {
			return OK
		}
		return Unreachable
	}
	switch said := answer.Error[0]; {
	case said == "EAPI:Invalid key", said == "EAPI:Invalid signature":
		return InvalidCredentials
	case said == "EGeneral:Permission denied":
		return ScopeMissing
	case strings.HasPrefix(said, "EAuth:Account"): // disabled, unconfirmed
		return NoAccountAccess
	}
	return Unreachable
}
