package exchange

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
)

// buildBinance builds a request for the account information (developers.binance.com, "Request Security").
func buildBinance(in input) (signedRequest, error) {
	return binanceAccount(in, "omitZeroBalances=true&"), nil // an answer with the zero balances is longer than maxAnswer
}

// buildBinanceUS does the same for Binance.US, which has fewer assets and no parameter omitZeroBalances.
func buildBinanceUS(in input) (signedRequest, error) {
	return binanceAccount(in, ""), nil
}

func binanceAccount(in input, query string) signedRequest {
	query += "recvWindow=5000&timestamp=" + in.millis()
	return signedRequest{
		method: http.MethodGet, path: "/api/v3/account?" + query + "&signature=" + signBinance(in.APISecret.Reveal(), query),
		header: map[string]string{"X-MBX-APIKEY": in.APIKey.Reveal()},
	}
}

// signBinance signs a query string.
func signBinance(secret, query string) string {
	return hex.EncodeToString(mac(sha256.New, []byte(secret), query))
}

func parseBinance(status int, body []byte) Code {
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
	case -1002: // the key may not call this endpoint
		return ScopeMissing
	case -1022, -2008, -2014: // wrong signature, unknown key, malformed key
		return InvalidCredentials
	case -2015: // "Invalid API-key, IP, or permissions for action": Binance does not say which of the three
		return InvalidCredentials
	}
	return Unreachable
}
