package exchange

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
)

// buildOKX builds a request for the account's settings (www.okx.com/docs-v5, "REST Authentication"). The permission to read is
// enough for it. The test network has the same host; a header selects it.
func buildOKX(in input) (signedRequest, error) {
	const path = "/api/v5/account/config"
	at := in.now.UTC().Format("2006-01-02T15:04:05.000Z")
	header := map[string]string{
		"OK-ACCESS-KEY":        in.APIKey.Reveal(),
		"OK-ACCESS-SIGN":       signOKX(in.APISecret.Reveal(), at+http.MethodGet+path),
		"OK-ACCESS-TIMESTAMP":  at,
		"OK-ACCESS-PASSPHRASE": in.Passphrase.Reveal(),
	}
	if in.testnet {
		header["x-simulated-trading"] = "1"
	}
	return signedRequest{method: http.MethodGet, path: path, header: header}, nil
}

// signOKX signs the concatenation of time, method, path and body.
func signOKX(secret, text string) string {
	return base64.StdEncoding.EncodeToString(mac(sha256.New, []byte(secret), text))
}

func parseOKX(status int, body []byte) Code {
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
	case "50101", "50105", "50111", "50113", "50114", "50119": // key of the other network, wrong passphrase, wrong key, wrong signature, unknown key
		return InvalidCredentials
	case "50110":
		return IPNotWhitelisted
	case "50030", "50120":
		return ScopeMissing
	case "50007", "50008", "50012", "50100": // account blocked, user unknown, account not active, key frozen
		return NoAccountAccess
	}
	return Unreachable
}
