package mail

import (
	"bytes"
	"fmt"
	"net/mail"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/secret"
)

// letter is a mail with its contents. Its bytes are the same at every attempt, so that servers and mail programs can recognize
// a duplicate.
type letter struct {
	id   uuid.UUID
	kind Kind
	to   string
	// link is empty in a Notice.
	link             secret.Text
	created, expires time.Time
}

// pages are the paths of the links' pages, below the base URL.
var pages = map[Kind]string{Confirm: "/verify-email", Reset: "/reset-password"}

var subjects = map[Kind]string{
	Confirm: "Confirm your email address",
	Reset:   "Choose a new password",
	Notice:  "You already have an account",
}

// texts are ASCII with short lines, so that no mail program encodes the text or breaks a link.
var texts = map[Kind]string{
	Confirm: `Hello,

This mail was requested on {created},
after a signup with this email address.

If you signed up, open this page to confirm your address:

{link}

If there was more than one signup with this address, the page asks for the
password that you chose, or lets you choose a new one. You can use the
link once, until {expires}.

If you did not sign up, do not open the link. The address is then not
confirmed, and the account cannot be used.
`,
	Reset: `Hello,

A new password for the account with this email address was requested on
{created}.

If you requested it, open this page to choose the password:

{link}

You can use the link once, until {expires}.
All sessions of the account end when the new password is set.

If you did not request it, do nothing. Your password does not change.
`,
	Notice: `Hello,

There was a signup with this email address on
{created}.

The address already has an account, and nothing was changed. If you signed
up, sign in with your password, or choose a new password on the sign-in
page.

If you did not sign up, you do not need to do anything.
`,
}

// eml returns the mail in the format of RFC 5322. It is ASCII unless the address is not.
func (l letter) eml(from mail.Address) []byte {
	moment := func(t time.Time) string { return t.UTC().Format("2 January 2006 at 15:04 UTC") }
	body := strings.NewReplacer("{created}", moment(l.created), "{expires}", moment(l.expires), "{link}", l.link.Reveal()).Replace(texts[l.kind])
	_, domain, _ := strings.Cut(from.Address, "@")
	var text bytes.Buffer
	for _, header := range [][2]string{
		{"From", from.String()},
		{"To", (&mail.Address{Address: l.to}).String()},
		{"Subject", subjects[l.kind]},
		{"Date", l.created.UTC().Format(time.RFC1123Z)},
		{"Message-ID", fmt.Sprintf("<%s@%s>", l.id, domain)},
		{"Auto-Submitted", "auto-generated"}, // no automatic replies (RFC 3834)
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=us-ascii"},
		{"Content-Transfer-Encoding", "7bit"},
	} {
		fmt.Fprintf(&text, "%s: %s\r\n", header[0], header[1])
	}
	text.WriteString("\r\n")
	text.WriteString(strings.ReplaceAll(body, "\n", "\r\n"))
	return text.Bytes()
}
