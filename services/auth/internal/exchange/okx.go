package exchange

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
)

// askOKX reads the account's settings (www.okx.com/docs-v5, "REST Authentication"), for which the permission to read is
// enough. Its test network is at the same host.
func askOKX(q question) (call, error) {
	const path = "/api/v5/account/config"
	at := q.now.UTC().Format("2006-01-02T15:04:05.000Z")
	header := map[string]string{
		"OK-ACCESS-KEY":        q.APIKey.Reveal(),
		"OK-ACCESS-SIGN":       signOKX(q.APISecret.Reveal(), at+http.MethodGet+path),
		"OK-ACCESS-TIMESTAMP":  at,
		"OK-ACCESS-PASSPHRASE": q.Passphrase.Reveal(),
	}
	if q.testnet {
		header["x-simulated-trading"] = "1"
	}
	return call{method: http.MethodGet, path: path, header: header}, nil
}

// signOKX signs the time, the method, the path and the body, one behind the other.
func signOKX(secret, text string) string {
	return base64.StdEncoding.EncodeToString(mac(sha256.New, []byte(secret), text))
}

func readOKX(status int, body []byte) Code {
	var answer struct {
		Code string          `json:"code"`
		Data json.RawMessage `json:"data"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return Unreachable
	}
	switch answer.Code {
	case "0":
		if status == http.StatusOK && answer.Data != nil {
			return OK
		}
	case "50101", "50105", "50111", "50113", "50114", "50119": // of the other network, wrong passphrase, key, signature; unknown key
		return InvalidCredentials
	case "50110":
		return IPNotWhitelisted
	case "50030", "50120":
		return ScopeMissing
	case "50007", "50008", "50012", "50100": // blocked, no such user, not active, frozen
		return NoAccountAccess
	}
	return Unreachable
}
