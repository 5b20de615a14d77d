package directory

import (
	"net/mail"
	"strings"
	"unicode"

	"github.com/countersign/countersign/pkg/fault"
)

// ErrEmail says that an address cannot be an email address.
var ErrEmail = fault.New(fault.Invalid, "email_invalid", "value is not a valid email address: An email address must have an @-sign.").About("email")

// maxEmail is the longest address that can be mailed to (RFC 5321, 4.5.3.1.3: a path of 256 with its brackets).
const maxEmail = 254

// ParseEmail returns a bare address in lower case, or ErrEmail. A display name, a comment, a quoted part, a domain
// without a dot and control characters are all refused: an address is an identity here, and must have one spelling.
func ParseEmail(text string) (string, error) {
	text = strings.ToLower(text)
	parsed, err := mail.ParseAddress(text)
	if err != nil || parsed.Address != text || len(text) > maxEmail || strings.ContainsAny(text, `"() `) ||
		strings.IndexFunc(text, unicode.IsControl) >= 0 {
		return "", ErrEmail
	}
	local, domain, _ := strings.Cut(text, "@")
	if len(local) > 64 || !strings.Contains(domain, ".") || strings.ContainsAny(domain, "[]") {
		return "", ErrEmail
	}
	return text, nil
}

// CheckEmail reports whether ParseEmail takes a text.
func CheckEmail(text string) error {
	_, err := ParseEmail(text)
	return err
}
