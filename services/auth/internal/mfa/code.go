package mfa

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
)

// ErrCodeForm means that a text is neither a TOTP code nor a recovery code.
var ErrCodeForm = fault.New(fault.Invalid, "code_form", "A code has 6 digits, a recovery code 16 digits and letters without i, l, o and u").About("code")

// Code is what a user entered: a code of the app, or a recovery code.
type Code struct {
	text     secret.Text
	recovery bool
}

var (
	totpForm     = regexp.MustCompile(`^[0-9]{6}$`)
	recoveryForm = regexp.MustCompile(`^[` + alphabet + `]{16}$`)
)

// ParseCode parses a code, or returns ErrCodeForm. It ignores spaces, hyphens and the case of letters: apps show codes in
// groups, and users type them like that.
func ParseCode(text secret.Text) (Code, error) {
	bare := strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-':
			return -1
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, text.Reveal())
	recovery := recoveryForm.MatchString(bare)
	if !recovery && !totpForm.MatchString(bare) {
		return Code{}, ErrCodeForm
	}
	return Code{secret.New(bare), recovery}, nil
}

// Methods returns the authentication methods (RFC 8176) that a right code proves. There is no method name for recovery codes.
func (c Code) Methods() []string {
	if c.recovery {
		return []string{"mfa"}
	}
	return []string{"otp", "mfa"}
}

// period is the length of a time step in seconds (RFC 6238, section 5.2).
const period = 30

// step returns the time step of a code. It accepts the present step, and the one before and after it, for different clocks and
// slow typing.
func (c Code) step(key string, now time.Time) (int64, bool, error) {
	present := now.Unix() / period
	for _, step := range []int64{present, present - 1, present + 1} {
		want, err := hotp.GenerateCodeCustom(key, uint64(step), hotp.ValidateOpts{Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, false, fmt.Errorf("computing a code: %w", err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(c.text.Reveal())) == 1 {
			return step, true, nil
		}
	}
	return 0, false, nil
}

// alphabet has 32 characters that are hard to confuse when they are read from paper.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// newRecoveryCode returns 80 random bits as xxxx-xxxx-xxxx-xxxx.
func newRecoveryCode() secret.Text {
	var bits [16]byte
	rand.Read(bits[:]) // never fails: the runtime aborts when the system has no randomness
	var text strings.Builder
	for i, b := range bits {
		if i > 0 && i%4 == 0 {
			text.WriteByte('-')
		}
		text.WriteByte(alphabet[b%32])
	}
	return secret.New(text.String())
}

// hash returns the stored form of a recovery code. It includes the user's id, so that an attacker with a copy of the database
// must guess each user's codes separately.
func (c Code) hash(user uuid.UUID) []byte {
	sum := sha256.Sum256(append(user[:], c.text.Reveal()...))
	return sum[:]
}
