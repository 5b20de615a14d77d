package mfa

import (
	"encoding/base32"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign/pkg/secret"
)

// The test vectors of RFC 6238, appendix B. They have 8 digits; this package uses the last 6.
func TestTOTPStepsOfRFC6238(t *testing.T) {
	t.Parallel()
	key := base32.StdEncoding.EncodeToString([]byte("12345678901234567890"))
	for seconds, digits := range map[int64]string{
		1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		code, err := ParseCode(secret.New(digits[2:]))
		if err != nil {
			t.Fatal(err)
		}
		for later, want := range map[int64]bool{-60: false, -30: true, 0: true, 30: true, 60: false} {
			step, right, err := code.step(key, time.Unix(seconds+later, 0))
			if err != nil || right != want || right && step != seconds/period {
				t.Errorf("%d, %d seconds later: %v at step %d, %v", seconds, later, right, step, err)
			}
		}
	}
}

func TestAuthenticationMethodsOfCodes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"123456": "otp mfa", newRecoveryCode().Reveal(): "mfa"} {
		code, err := ParseCode(secret.New(text))
		if err != nil || strings.Join(code.Methods(), " ") != want {
			t.Errorf("%q proves %v, %v", text, code.Methods(), err)
		}
	}
}
