package exchange

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
)

// askBinance reads the account (developers.binance.com, "Request Security").
func askBinance(q question) (call, error) {
	return askBinanceAccount(q, "omitZeroBalances=true&"), nil // the zeros are more than we read of an answer
}

// askBinanceUS reads the account at Binance.US, which has fewer assets and does not know that parameter.
func askBinanceUS(q question) (call, error) {
	return askBinanceAccount(q, ""), nil
}

func askBinanceAccount(q question, query string) call {
	query += "recvWindow=5000&timestamp=" + q.millis()
	return call{
		method: http.MethodGet, path: "/api/v3/account?" + query + "&signature=" + signBinance(q.APISecret.Reveal(), query),
		header: map[string]string{"X-MBX-APIKEY": q.APIKey.Reveal()},
	}
}

// signBinance signs a query string.
func signBinance(secret, query string) string {
	return hex.EncodeToString(mac(sha256.New, []byte(secret), query))
}

func readBinance(status int, body []byte) Code {
	var answer struct {
		Code     int               `json:"code"`
		Balances []json.RawMessage `json:"balances"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return Unreachable
	}
	switch answer.Code {
	case 0:
		if status == http.StatusOK && answer.Balances != nil {
			return OK
		}
	case -1002: // not authorized for this endpoint
		return ScopeMissing
	case -1022, -2008, -2014: // bad signature, unknown key, not the form of a key
		return InvalidCredentials
	case -2015: // "Invalid API-key, IP, or permissions for action": Binance does not say which
		return InvalidCredentials
	}
	return Unreachable
}
