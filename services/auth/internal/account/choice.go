package account

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

// Why a password may not be chosen.
var (
	ErrPasswordShort  = fault.New(fault.Invalid, "password_too_short", "The password should have at least 8 characters")
	ErrPasswordLong   = fault.New(fault.Invalid, "password_too_long", "The password should have at most 1024 characters")
	ErrPasswordText   = fault.New(fault.Invalid, "password_text", "The password should be text without NUL characters, in UTF-8")
	ErrPasswordCommon = fault.New(fault.Invalid, "password_common", "The password is among the first that anybody would try")
)

// The shortest and the longest password, in characters. The OpenAPI document also refuses longer passwords, and NUL.
const (
	minPassword = 8
	maxPassword = 1024
)

// checkPassword returns why a password, which was sent in this field, may not be chosen for an address (in lower case). There
// are no rules about kinds of characters, which only make people write "Password1!" (NIST SP 800-63B, 3.1.1.2).
func checkPassword(password secret.Text, field, email string) error {
	text := canonical(password)
	switch {
	case !utf8.Valid(text) || bytes.ContainsRune(text, 0):
		return ErrPasswordText.About(field)
	case utf8.RuneCountInString(password.Reveal()) > maxPassword:
		return ErrPasswordLong.About(field)
	case utf8.RuneCount(text) < minPassword:
		return ErrPasswordShort.About(field)
	case obvious(strings.ToLower(string(text)), email):
		return ErrPasswordCommon.About(field)
	}
	return nil
}

//go:embed commonest.txt
var commonestText string

// commonest are choices that people make often and that no rule below catches.
var commonest = func() map[string]bool {
	words := map[string]bool{}
	for _, word := range strings.Fields(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(commonestText, "")) {
		words[word] = true
	}
	return words
}()

// obvious reports whether a password, in lower case, is among the first that anybody would try for an address: one of the
// commonest, whatever digits and signs surround it; a date; fewer than four different characters; equal steps from
// character to character; one short block over and over; or not much more than the address or our name.
func obvious(password, email string) bool {
	word := strings.TrimFunc(password, func(r rune) bool { return !unicode.IsLetter(r) })
	return commonest[password] || commonest[word] || date.MatchString(password) ||
		different(password) < 4 || equalSteps(password) || repeats(password) || mostly(password, email)
}

// date is a day of this century or the last, in whatever order people write one without signs.
var date = regexp.MustCompile(`^(?:19|20)\d{6}$|^\d{4}(?:19|20)\d\d$`)

func different(text string) int {
	seen := map[rune]bool{}
	for _, r := range text {
		seen[r] = true
	}
	return len(seen)
}

func equalSteps(text string) bool {
	runes := []rune(text)
	for i := 2; i < len(runes); i++ {
		if runes[i]-runes[i-1] != runes[1]-runes[0] {
			return false
		}
	}
	return true
}

func repeats(text string) bool {
	for size := 1; size < minPassword && size <= len(text)/2; size++ {
		if len(text)%size == 0 && strings.Repeat(text[:size], len(text)/size) == text {
			return true
		}
	}
	return false
}

// mostly reports whether fewer than four characters are left of a password without the address or our name.
func mostly(password, email string) bool {
	local, _, _ := strings.Cut(email, "@")
	for _, word := range []string{email, local, "countersign"} {
		if len(word) >= 3 && utf8.RuneCountInString(strings.ReplaceAll(password, word, "")) < minPassword/2 {
			return true
		}
	}
	return false
}
