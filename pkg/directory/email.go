package directory

import (
	"net/mail"
	"strings"
	"unicode"

	"github.com/countersign/countersign/pkg/fault"
)

// ErrEmail says that a text is not an acceptable email address.
var ErrEmail = fault.New(fault.Invalid, "email_invalid", "value is not a valid email address: An email address must have an @-sign.").About("email")

// maxEmail is the length of the longest valid address (RFC 5321, 4.5.3.1.3: a path of 256 characters with its brackets).
const maxEmail = 254

// ParseEmail returns an address in lower case. It returns ErrEmail for a display name, a comment, a quoted part, a domain
// without a dot, and control characters. Reason: the address identifies a person, so it must have exactly one spelling.
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

// CheckEmail returns the error of ParseEmail.
func CheckEmail(text string) error {
	_, err := ParseEmail(text)
	return err
}
