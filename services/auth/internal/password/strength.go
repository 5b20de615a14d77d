package password

import (
	"bytes"
	_ "embed"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/secret"
)

// Why a password is refused.
var (
	ErrShort  = fault.New(fault.Invalid, "password_too_short", "The password should have at least 8 characters")
	ErrLong   = fault.New(fault.Invalid, "password_too_long", "The password should have at most 1024 characters")
	ErrText   = fault.New(fault.Invalid, "password_text", "The password should be text without NUL characters, in UTF-8")
	ErrCommon = fault.New(fault.Invalid, "password_common", "The password is too easy to guess")
)

// The limits are in characters. The OpenAPI document also refuses longer passwords, and NUL.
const (
	minLength = 8
	maxLength = 1024
)

// Check returns one of the errors above, about this field of the request, when a user with this address (in lower case) may
// not choose the password. There are no rules about kinds of characters: they make people choose "Password1!"
// (NIST SP 800-63B, 3.1.1.2).
func Check(chosen secret.Text, field, email string) error {
	text := canonical(chosen)
	switch {
	case !utf8.Valid(text) || bytes.ContainsRune(text, 0):
		return ErrText.About(field)
	case utf8.RuneCountInString(chosen.Reveal()) > maxLength:
		return ErrLong.About(field)
	case utf8.RuneCount(text) < minLength:
		return ErrShort.About(field)
	case isEasy(strings.ToLower(string(text)), email):
		return ErrCommon.About(field)
	}
	return nil
}

//go:embed commonest.txt
var commonestText string

// commonest has frequent passwords that the rules below do not cover.
var commonest = func() map[string]bool {
	words := map[string]bool{}
	for _, word := range strings.Fields(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(commonestText, "")) {
		words[word] = true
	}
	return words
}()

// isEasy reports whether a password (in lower case) is easy to guess: a frequent password, also with digits and signs around
// it; a date; fewer than four different characters; a run of characters with equal steps; a repeated block; the address or
// the product's name with at most three more characters.
func isEasy(password, email string) bool {
	word := strings.TrimFunc(password, func(r rune) bool { return !unicode.IsLetter(r) })
	return commonest[password] || commonest[word] || date.MatchString(password) ||
		distinct(password) < 4 || hasEqualSteps(password) || isRepeated(password) || isMostlyName(password, email)
}

// date is a day of the 20th or 21st century, in any usual order, without separators.
var date = regexp.MustCompile(`^(?:19|20)\d{6}$|^\d{4}(?:19|20)\d\d$`)

// distinct counts the different characters.
func distinct(text string) int {
	seen := map[rune]bool{}
	for _, r := range text {
		seen[r] = true
	}
	return len(seen)
}

func hasEqualSteps(text string) bool {
	runes := []rune(text)
	for i := 2; i < len(runes); i++ {
		if runes[i]-runes[i-1] != runes[1]-runes[0] {
			return false
		}
	}
	return true
}

func isRepeated(text string) bool {
	for size := 1; size < minLength && size <= len(text)/2; size++ {
		if len(text)%size == 0 && strings.Repeat(text[:size], len(text)/size) == text {
			return true
		}
	}
	return false
}

// isMostlyName reports whether fewer than four characters remain when the address, the part of the address before the @, or
// the product's name is removed from a password.
func isMostlyName(password, email string) bool {
	local, _, _ := strings.Cut(email, "@")
	for _, word := range []string{email, local, "countersign"} {
		if len(word) >= 3 && utf8.RuneCountInString(strings.ReplaceAll(password, word, "")) < minLength/2 {
			return true
		}
	}
	return false
}
