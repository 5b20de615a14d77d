package exchange

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
)

// buildKraken builds a request for the balances (docs.kraken.com, "Spot REST Authentication"). The nonce of a key must grow with
// every request. It is the time in milliseconds, as in Kraken's documentation. A time in microseconds would be larger than the
// nonces of the user's own programs, and Kraken would then refuse their requests.
func buildKraken(in input) (signedRequest, error) {
	const path = "/0/private/Balance"
	body := "nonce=" + in.millis()
	signature, err := signKraken(in.APISecret.Reveal(), path, in.millis(), body)
	return signedRequest{method: http.MethodPost, path: path, body: body, header: map[string]string{
		"API-Key":      in.APIKey.Reveal(),
		"API-Sign":     signature,
		"Content-Type": "application/x-www-form-urlencoded",
	}}, err
}

// signKraken signs the concatenation of the path and the SHA-256 of nonce and body. The secret is in base64.
func signKraken(secret, path, nonce, body string) (string, error) {
	key, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		return "", errUnsignable
	}
	hashed := sha256.Sum256([]byte(nonce + body))
	return base64.StdEncoding.EncodeToString(mac(sha512.New, key, path+string(hashed[:]))), nil
}

func parseKraken(status int, body []byte) Code {
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
	switch message := answer.Error[0]; {
	case message == "EAPI:Invalid key", message == "EAPI:Invalid signature":
		return InvalidCredentials
	case message == "EGeneral:Permission denied":
		return ScopeMissing
	case strings.HasPrefix(message, "EAuth:Account"): // the account is disabled or not confirmed
		return NoAccountAccess
	}
	return Unreachable
}
