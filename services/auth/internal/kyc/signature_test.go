package kyc

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Sumsub's and Veriff's vectors of HMAC_SHA1_HEX and X-HMAC-SIGNATURE are those of their documentation; the others were
// computed by openssl.
func TestSignatures(t *testing.T) {
	t.Parallel()
	const (
		sha1Hex   = "f6e92ffe371718694d46e28436f76589312df8db"
		sha256Hex = "7f3beedce7529616a9d6bba59dc1b054a7247cef67f6acff2600864399f47fe0"
		sha512Hex = "3aae08986027051ca0656d87c4c95f1f15d3ecaf23cf239e5a43fd03a8af28223a06be1f97624caefd55475c84673773dc10e895a1ab885a3548c58bd7af9ebf"

		sumsubKey = "SoMe_SeCrEt_KeY"
		veriffKey = "abcdef12-abcd-abcd-abcd-abcdef012345"
		veriffHex = "0dcab73ddd20062616d104231c7439657546a5c24e4691977da93bb854c31e25"
		decision  = `{"verification":{"callback":"https://veriff.com","person":{"firstName":"John","lastName":"Smith"},"document":{"type":"PASSPORT","country":"EE"},"vendorData":"unique id of the end-user","timestamp":"2016-05-19T08:30:25.597Z"}}`

		onfidoHex = "f373386c045f357ec093a8595f27e6849d4bf70fce82e0c5dba80dcfe8f26597"
		run       = `{"payload":{"action":"workflow_run.completed"}}`

		newHex  = "32405cf218740b50ca008f9dbb4cb3fa8ae96b4a2d719e6ee4ca6643b8e5d52f"
		oldHex  = "aff3b6fab14b90f0bf18fbf69e1be996d2e0a871c97180506c5335ab04ce96c8"
		inquiry = `{"data":{"id":"evt_1"}}`
		newSet  = "t=1700000000,v1=" + newHex
		oldSet  = "t=1700000000,v1=" + oldHex
	)
	at := time.Unix(1700000000, 0)
	digest := func(digest, algorithm string) http.Header {
		return http.Header{"X-Payload-Digest": {digest}, "X-Payload-Digest-Alg": {algorithm}}
	}
	in := func(name string, values ...string) http.Header {
		h := http.Header{}
		for _, value := range values {
			h.Add(name, value)
		}
		return h
	}
	for _, c := range []struct {
		name   string
		vendor *vendor
		secret string
		header http.Header
		body   string
		now    time.Time
		want   bool
	}{
		{"Sumsub, SHA-1", &sumsub, sumsubKey, digest(sha1Hex, "HMAC_SHA1_HEX"), "someText", at, true},
		{"Sumsub, SHA-256", &sumsub, sumsubKey, digest(sha256Hex, "HMAC_SHA256_HEX"), "someText", at, true},
		{"Sumsub, SHA-512", &sumsub, sumsubKey, digest(sha512Hex, "HMAC_SHA512_HEX"), "someText", at, true},
		{"Sumsub, another algorithm than it says", &sumsub, sumsubKey, digest(sha256Hex, "HMAC_SHA1_HEX"), "someText", at, false},
		{"Sumsub, an unknown algorithm", &sumsub, sumsubKey, digest(sha256Hex, "HMAC_MD5_HEX"), "someText", at, false},
		{"Sumsub, no algorithm", &sumsub, sumsubKey, in("X-Payload-Digest", sha256Hex), "someText", at, false},
		{"Sumsub, no digest", &sumsub, sumsubKey, in("X-Payload-Digest-Alg", "HMAC_SHA256_HEX"), "someText", at, false},
		{"Sumsub, an empty digest", &sumsub, sumsubKey, digest("", "HMAC_SHA256_HEX"), "someText", at, false},
		{"Sumsub, the beginning of a digest", &sumsub, sumsubKey, digest(sha256Hex[:32], "HMAC_SHA256_HEX"), "someText", at, false},
		{"Sumsub, no hex", &sumsub, sumsubKey, digest(strings.Repeat("z", 64), "HMAC_SHA256_HEX"), "someText", at, false},
		{"Sumsub, another body", &sumsub, sumsubKey, digest(sha256Hex, "HMAC_SHA256_HEX"), "someText ", at, false},
		{"Sumsub, another secret", &sumsub, "some_secret_key", digest(sha256Hex, "HMAC_SHA256_HEX"), "someText", at, false},
		{"Sumsub, twice", &sumsub, sumsubKey, http.Header{"X-Payload-Digest": {sha256Hex, sha256Hex}, "X-Payload-Digest-Alg": {"HMAC_SHA256_HEX"}}, "someText", at, false},

		{"Veriff", &veriff, veriffKey, in("X-Hmac-Signature", veriffHex), decision, at, true},
		{"Veriff, in capitals", &veriff, veriffKey, in("X-Hmac-Signature", strings.ToUpper(veriffHex)), decision, at, true},
		{"Veriff, another order of the same fields", &veriff, veriffKey, in("X-Hmac-Signature", veriffHex), strings.Replace(decision, `{"type":"PASSPORT","country":"EE"}`, `{"country":"EE","type":"PASSPORT"}`, 1), at, false},
		{"Veriff, another secret", &veriff, sumsubKey, in("X-Hmac-Signature", veriffHex), decision, at, false},
		{"Veriff, its client's key alone", &veriff, veriffKey, in("X-Auth-Client", veriffKey), decision, at, false},

		{"Onfido", &onfido, "onfido-token", in("X-Sha2-Signature", onfidoHex), run, at, true},
		{"Onfido, another body", &onfido, "onfido-token", in("X-Sha2-Signature", onfidoHex), run + "\n", at, false},
		{"Onfido, another secret", &onfido, "onfido", in("X-Sha2-Signature", onfidoHex), run, at, false},

		{"Persona", &persona, "wbhsec_new", in("Persona-Signature", newSet), inquiry, at, true},
		{"Persona, rotating, the new one", &persona, "wbhsec_new", in("Persona-Signature", newSet+" "+oldSet), inquiry, at, true},
		{"Persona, rotating, the old one", &persona, "wbhsec_old", in("Persona-Signature", newSet+" "+oldSet), inquiry, at, true},
		{"Persona, rotating, neither", &persona, "wbhsec_other", in("Persona-Signature", newSet+" "+oldSet), inquiry, at, false},
		{"Persona, many sets", &persona, "wbhsec_new", in("Persona-Signature", newSet+" "+oldSet+" "+oldSet), inquiry, at, false},
		{"Persona, in two headers", &persona, "wbhsec_new", in("Persona-Signature", newSet, oldSet), inquiry, at, false},
		{"Persona, as old as may be", &persona, "wbhsec_new", in("Persona-Signature", newSet), inquiry, at.Add(300 * time.Second), true},
		{"Persona, too old", &persona, "wbhsec_new", in("Persona-Signature", newSet), inquiry, at.Add(301 * time.Second), false},
		{"Persona, as early as may be", &persona, "wbhsec_new", in("Persona-Signature", newSet), inquiry, at.Add(-300 * time.Second), true},
		{"Persona, from the future", &persona, "wbhsec_new", in("Persona-Signature", newSet), inquiry, at.Add(-301 * time.Second), false},
		{"Persona, another time than was signed", &persona, "wbhsec_new", in("Persona-Signature", "t=1700000100,v1="+newHex), inquiry, at.Add(100 * time.Second), false},
		{"Persona, no time", &persona, "wbhsec_new", in("Persona-Signature", "v1="+newHex), inquiry, at, false},
		{"Persona, a time out of all bounds", &persona, "wbhsec_new", in("Persona-Signature", "t=9223372036854775807,v1="+newHex), inquiry, at, false},
		{"Persona, no signature", &persona, "wbhsec_new", in("Persona-Signature", "t=1700000000"), inquiry, at, false},
		{"Persona, another version", &persona, "wbhsec_new", in("Persona-Signature", "t=1700000000,v0="+newHex), inquiry, at, false},
		{"Persona, encoded anew", &persona, "wbhsec_new", in("Persona-Signature", newSet), `{"data": {"id":"evt_1"}}`, at, false},
	} {
		if got := c.vendor.signed(c.secret, c.header, []byte(c.body), c.now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
