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

// letter is a mail on its way. Written twice it is the same, to the byte, and so a server or a reader can tell that it
// came twice.
type letter struct {
	id   uuid.UUID
	kind Kind
	to   string
	// link is empty in a notice.
	link             secret.Text
	created, expires time.Time
}

// pages are where links lead, below the base URL.
var pages = map[Kind]string{Confirm: "/verify-email", Reset: "/reset-password"}

var subjects = map[Kind]string{
	Confirm: "Confirm your email address",
	Reset:   "Choose a new password",
	Notice:  "You have an account already",
}

// texts are plain ASCII in short lines, so that no mail program has a reason to break a link.
var texts = map[Kind]string{
	Confirm: `Hello,

somebody signed up with this email address and asked for this mail on
{created}.

If it was you, open this page to confirm the address:

{link}

It makes the password good that was chosen at that signup. The link can be
used once, until {expires}.

If it was not you, do not open it: without you nothing comes of it.
`,
	Reset: `Hello,

somebody wants to choose a new password for the account with this email
address, and asked for this mail on {created}.

If it was you, open this page:

{link}

The link can be used once, until {expires}.
It ends every session of the account.

If it was not you, do nothing: the password stays as it is.
`,
	Notice: `Hello,

somebody tried to sign up with this email address on
{created}.

It has an account already, and nothing was changed. If it was you, sign in
with the password that you have, or ask for a new one where you sign in.

If it was not you, there is nothing to do.
`,
}

// eml returns the whole mail in the form of RFC 5322. It is ASCII unless the address is not.
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
		{"Auto-Submitted", "auto-generated"}, // nobody's absence is to be answered (RFC 3834)
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
