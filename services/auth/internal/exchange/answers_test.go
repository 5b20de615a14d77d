package exchange

import "testing"

// The answers are from the documentation of the exchanges.
func TestAnswersAreParsed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		exchange string
		status   int
		body     string
		want     Code
	}{
		{"binance", 200, `{"canTrade":true,"accountType":"SPOT","balances":[]}`, OK},
		{"binanceus", 200, `{"balances":[{"asset":"BTC","free":"1"}]}`, OK},
		{"binance", 401, `{"code":-2014,"msg":"API-key format invalid."}`, InvalidCredentials},
		{"binance", 401, `{"code":-2015,"msg":"Invalid API-key, IP, or permissions for action."}`, InvalidCredentials},
		{"binance", 400, `{"code":-2008,"msg":"Invalid Api-Key ID."}`, InvalidCredentials},
		{"binance", 400, `{"code":-1022,"msg":"Signature for this request is not valid."}`, InvalidCredentials},
		{"binance", 401, `{"code":-1002,"msg":"You are not authorized to execute this request."}`, ScopeMissing},
		{"binance", 400, `{"code":-1021,"msg":"Timestamp for this request is outside of the recvWindow."}`, Unreachable},
		{"binance", 451, `{"code":0,"msg":"Service unavailable from a restricted location"}`, Unreachable},
		{"binance", 418, `{"code":-1003,"msg":"Way too many requests; IP banned"}`, Unreachable},
		{"binance", 200, `{}`, Unreachable},
		{"binance", 400, `{"balances":[]}`, Unreachable},
		{"bybit", 200, `{"retCode":0,"retMsg":"OK","result":{"unifiedMarginStatus":4}}`, OK},
		{"bybit", 200, `{"retCode":10003,"retMsg":"API key is invalid."}`, InvalidCredentials},
		{"bybit", 200, `{"retCode":10004,"retMsg":"Error sign, please check your signature generation algorithm."}`, InvalidCredentials},
		{"bybit", 200, `{"retCode":33004,"retMsg":"Your api key has expired"}`, InvalidCredentials},
		{"bybit", 401, ``, InvalidCredentials},
		{"bybit", 200, `{"retCode":10005,"retMsg":"Permission denied, please check your API key permissions."}`, ScopeMissing},
		{"bybit", 200, `{"retCode":10010,"retMsg":"Unmatched IP, please check your API key's bound IP addresses."}`, IPNotWhitelisted},
		{"bybit", 200, `{"retCode":10008,"retMsg":"Common banned"}`, NoAccountAccess},
		{"bybit", 200, `{"retCode":10006,"retMsg":"Too many visits!"}`, Unreachable},
		{"bybit", 200, `{"result":{}}`, Unreachable},
		{"bybit", 403, `<html>`, Unreachable},
		{"coinbase", 200, `[{"id":"x","active":false},{"id":"y","active":true}]`, OK},
		{"coinbase", 200, `[{"id":"x","active":false}]`, NoAccountAccess},
		{"coinbase", 200, `[]`, NoAccountAccess},
		{"coinbase", 200, `null`, Unreachable},
		{"coinbase", 200, `{"message":"hello"}`, Unreachable},
		{"coinbase", 401, `{"message":"Invalid API Key"}`, InvalidCredentials},
		{"coinbase", 401, `{"message":"invalid signature"}`, InvalidCredentials},
		{"coinbase", 400, `{"message":"Invalid Passphrase"}`, InvalidCredentials},
		{"coinbase", 401, `{"message":"IP does not match IP whitelist"}`, IPNotWhitelisted},
		{"coinbase", 400, `{"message":"request timestamp expired"}`, Unreachable},
		{"coinbase", 403, `{"message":"Forbidden"}`, ScopeMissing},
		{"coinbase", 403, `<html>`, Unreachable},
		{"coinbase", 404, `{"message":"NotFound"}`, Unreachable},
		{"kraken", 200, `{"error":[],"result":{"ZUSD":"1.0000"}}`, OK},
		{"kraken", 200, `{"error":[],"result":{}}`, OK},
		{"kraken", 200, `{"error":["EAPI:Invalid key"]}`, InvalidCredentials},
		{"kraken", 200, `{"error":["EAPI:Invalid signature"]}`, InvalidCredentials},
		{"kraken", 200, `{"error":["EGeneral:Permission denied"]}`, ScopeMissing},
		{"kraken", 200, `{"error":["EAuth:Account temporary disabled"]}`, NoAccountAccess},
		{"kraken", 200, `{"error":["EAPI:Invalid nonce"]}`, Unreachable},
		{"kraken", 200, `{"error":["EGeneral:Temporary lockout"]}`, Unreachable},
		{"kraken", 200, `{"error":[]}`, Unreachable},
		{"okx", 200, `{"code":"0","data":[{"uid":"1"}],"msg":""}`, OK},
		{"okx", 401, `{"code":"50111","msg":"Invalid OK-ACCESS-KEY"}`, InvalidCredentials},
		{"okx", 401, `{"code":"50113","msg":"Invalid signature"}`, InvalidCredentials},
		{"okx", 401, `{"code":"50105","msg":"Request header OK-ACCESS-PASSPHRASE incorrect."}`, InvalidCredentials},
		{"okx", 401, `{"code":"50119","msg":"API key doesn't exist"}`, InvalidCredentials},
		{"okx", 401, `{"code":"50110","msg":"Your IP is not included in your API key's IP whitelist"}`, IPNotWhitelisted},
		{"okx", 401, `{"code":"50120","msg":"This API key doesn't have permission to use this function"}`, ScopeMissing},
		{"okx", 401, `{"code":"50100","msg":"API frozen, please contact customer service."}`, NoAccountAccess},
		{"okx", 401, `{"code":"50102","msg":"Timestamp request expired"}`, Unreachable},
		{"okx", 200, `{"code":"0"}`, Unreachable},
	} {
		got := testAgainst(t, c.exchange, true, respond(c.status, c.body))
		if got.Code != c.want || got.Message != messages[c.want] || got.Message == "" || got.Latency <= 0 {
			t.Errorf("%s, %d %s: got %+v, want %s", c.exchange, c.status, c.body, got, c.want)
		}
	}
}
