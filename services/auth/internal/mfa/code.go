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

// ErrCodeForm says that a text is neither of the two kinds of codes.
var ErrCodeForm = fault.New(fault.Invalid, "code_form", "A code has 6 digits, a recovery code 16 digits and letters without i, l, o and u").About("code")

// Code is what somebody typed to prove a second factor: a code of the app, or a recovery code.
type Code struct {
	text     secret.Text
	recovery bool
}

var (
	totpForm     = regexp.MustCompile(`^[0-9]{6}$`)
	recoveryForm = regexp.MustCompile(`^[` + alphabet + `]{16}$`)
)

// ParseCode reads a code, or returns ErrCodeForm. Spaces and hyphens, which people type as they are shown, and the case of
// letters do not count.
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

// Methods are the authentication methods (RFC 8176) that a right code proves. A recovery code has no name of its own.
func (c Code) Methods() []string {
	if c.recovery {
		return []string{"mfa"}
	}
	return []string{"otp", "mfa"}
}

// period is how many seconds a time step lasts.
const period = 30

// step returns the time step whose code this is: the present one, or, for clocks that disagree and people who are slow, the
// one before or after.
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

// alphabet has 32 characters, none of which is taken for another when it is read from paper.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// newRecoveryCode makes 80 random bits, as xxxx-xxxx-xxxx-xxxx.
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

// hash returns what a recovery code of this user is stored as. The id keeps one guess from being tried on everybody's at
// once by who has the database.
func (c Code) hash(user uuid.UUID) []byte {
	sum := sha256.Sum256(append(user[:], c.text.Reveal()...))
	return sum[:]
}
