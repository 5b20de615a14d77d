package exchange

import (
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/secret"
)

// The examples are from the documentation of the exchanges. If an example there has no signature, the signature here was
// computed with openssl.
func TestSignatures(t *testing.T) {
	t.Parallel()
	const binanceSecret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
	const krakenSecret = "kQH5HW/8p1uGOVjbgWA7FunAmGO8lsSUXNsu3eow76sz84Q18fWxnyRzBHCd3pd5nE9qa99HAZtuZuj6F1huXg=="
	kraken, err := signKraken(krakenSecret, "/0/private/AddOrder", "1616492376594", "nonce=1616492376594&ordertype=limit&pair=XBTUSD&price=37500&type=buy&volume=1.25")
	if err != nil {
		t.Fatal(err)
	}
	// Coinbase's documentation has no example with a signature.
	coinbase, err := signCoinbase("YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcy4uLi4=", "1500000000GET/profiles")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, got, want string }{
		{"Binance, Request Security", signBinance(binanceSecret, "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"),
			"c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"},
		{"Binance, percent-encoded", signBinance(binanceSecret, "symbol=%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"),
			"e1353ec6b14d888f1164ae9af8228a3dbd508bc82eb867db8ab6046442f33ef3"},
		{"Bybit before v5, with the same algorithm and another text", signBybit("t7T0YlFnYXk0Fx3JswQsDrViLg1Gh3DUU5Mr", "api_key=B2Rou0PLPpGqcU0Vu2&leverage=100&symbol=BTCUSD&timestamp=1542434791000"),
			"670e3e4aa32b243f2dedf1dafcec2fd17a440e71b05681550416507de591d908"},
		// The documentation of v5 has this text, with XXXXXXXXXX as the key, and no signature.
		{"Bybit v5", signBybit("XXXXXXXXXX", "1658384314791XXXXXXXXXX5000category=option&symbol=BTC-29JUL22-25000-C"),
			"c00720f96c5934ca7057ac28ae65b823f83b8b67a8fe784e7795ca0fa3c148ec"},
		{"Kraken, Spot REST Authentication", kraken, "4/dpxb3iT4tp/ZCVEwSnEsLxx0bqyhLpdfOpc6fn7OR8+UClSV5n9E6aSS8MPtnRfp32bAb0nmbRn6H8ndwLUQ=="},
		{"Coinbase Exchange", coinbase, "5Lm01vT3kcGOid+ABwxT8q7AAvnDanDLGmFWJwgNagE="},
		// OKX's documentation has this text. Its signatures are of unpublished secrets.
		{"OKX", signOKX("22582BD0CFF14C41EDBF1AB98506286D", "2020-12-08T09:08:57.715ZGET/api/v5/account/balance?ccy=BTC"), "HiZhvSfMtWJA3uUIVXV3a/bSXNPCWvYFXoGCVS8V4zY="},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, c.got, c.want)
		}
	}
	if _, err := signKraken("not base64!", "/", "1", ""); err == nil {
		t.Error("Kraken: no error for a malformed secret")
	}
	if _, err := signCoinbase("not base64!", ""); err == nil {
		t.Error("Coinbase: no error for a malformed secret")
	}
}

func TestSignedRequests(t *testing.T) {
	t.Parallel()
	live := input{Credentials: Credentials{secret.New("the-key"), secret.New("c2VjcmV0"), secret.New("the phrase")}, now: time.UnixMilli(1616492376594)}
	testnet := live
	testnet.testnet = true
	for _, c := range []struct {
		name  string
		build func(input) (signedRequest, error)
		in    input
		want  string
	}{
		{"binance", buildBinance, live, "GET /api/v3/account?omitZeroBalances=true&recvWindow=5000&timestamp=1616492376594&signature=" +
			signBinance("c2VjcmV0", "omitZeroBalances=true&recvWindow=5000&timestamp=1616492376594") + " X-MBX-APIKEY=the-key"},
		{"binanceus", buildBinanceUS, live, "GET /api/v3/account?recvWindow=5000&timestamp=1616492376594&signature=" +
			signBinance("c2VjcmV0", "recvWindow=5000&timestamp=1616492376594") + " X-MBX-APIKEY=the-key"},
		{"bybit", buildBybit, live, "GET /v5/account/info X-BAPI-API-KEY=the-key X-BAPI-RECV-WINDOW=5000 X-BAPI-SIGN=" +
			signBybit("c2VjcmV0", "1616492376594the-key5000") + " X-BAPI-TIMESTAMP=1616492376594"},
		{"coinbase", buildCoinbase, live, "GET /profiles CB-ACCESS-KEY=the-key CB-ACCESS-PASSPHRASE=the phrase CB-ACCESS-SIGN=" +
			mustSign(signCoinbase("c2VjcmV0", "1616492376GET/profiles")) + " CB-ACCESS-TIMESTAMP=1616492376"},
		{"kraken", buildKraken, live, "POST /0/private/Balance nonce=1616492376594 API-Key=the-key API-Sign=" +
			mustSign(signKraken("c2VjcmV0", "/0/private/Balance", "1616492376594", "nonce=1616492376594")) + " Content-Type=application/x-www-form-urlencoded"},
		{"okx", buildOKX, live, "GET /api/v5/account/config OK-ACCESS-KEY=the-key OK-ACCESS-PASSPHRASE=the phrase OK-ACCESS-SIGN=" +
			signOKX("c2VjcmV0", "2021-03-23T09:39:36.594ZGET/api/v5/account/config") + " OK-ACCESS-TIMESTAMP=2021-03-23T09:39:36.594Z"},
		{"okx, testnet", buildOKX, testnet, "GET /api/v5/account/config OK-ACCESS-KEY=the-key OK-ACCESS-PASSPHRASE=the phrase OK-ACCESS-SIGN=" +
			signOKX("c2VjcmV0", "2021-03-23T09:39:36.594ZGET/api/v5/account/config") + " OK-ACCESS-TIMESTAMP=2021-03-23T09:39:36.594Z x-simulated-trading=1"},
	} {
		got, err := c.build(c.in)
		if text := oneLine(got); err != nil || text != c.want {
			t.Errorf("%s: got\n%s\n%s, %v", c.name, text, c.want, err)
		}
		if strings.Contains(oneLine(got), "c2VjcmV0") {
			t.Errorf("%s: the request contains the secret", c.name)
		}
	}
}
