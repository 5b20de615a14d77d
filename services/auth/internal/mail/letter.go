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
	// source is the cause of the event that a security mail is about: a network address, or a text. It is empty in other mails.
	source string
	// link is empty in a mail without a link.
	link             secret.Text
	created, expires time.Time
}

// pages are the paths of the links' pages, below the base URL.
var pages = map[Kind]string{Confirm: "/verify-email", Reset: "/reset-password", NewAddress: "/confirm-new-email"}

// contents is the subject and the text of a mail.
type contents struct{ subject, text string }

// letters has the contents of each kind of mail. They are ASCII with short lines, so that no mail program encodes the text or
// breaks a link.
var letters = map[Kind]contents{
	Confirm: {"Confirm your email address", `Hello,

This mail was requested on {created},
after a signup with this email address.

If you signed up, open this page to confirm your address:

{link}

If there was more than one signup with this address, the page asks for the
password that you chose, or lets you choose a new one. You can use the
link once, until {expires}.

If you did not sign up, do not open the link. The address is then not
confirmed, and the account cannot be used.
`},
	Reset: {"Choose a new password", `Hello,

A new password for the account with this email address was requested on
{created}.

If you requested it, open this page to choose the password:

{link}

You can use the link once, until {expires}.
All sessions of the account end when the new password is set.

If you did not request it, do nothing. Your password does not change.
`},
	Notice: {"You already have an account", `Hello,

There was a signup with this email address on
{created}.

The address already has an account, and nothing was changed. If you signed
up, sign in with your password, or choose a new password on the sign-in
page.

If you did not sign up, you do not need to do anything.
`},
	NewAddress: {"Confirm your new email address", `Hello,

On {created},
a user asked to change the email address of an account to this address.

If it was you, open this page to change the address:

{link}

You can use the link once, until {expires}.
All sessions of the account end. Then sign in with this address.

If it was not you, do not open the link. Nothing changes.
`},
	AddressInUse: {"This email address is in use already", `Hello,

On {created},
a user asked to change the email address of another account to this
address. Your account has this address, so nothing was changed.

If it was you, sign in to the account with this address, or use another
address.

If it was not you, you do not need to do anything.
`},
	AddressRequested: event("A new email address was requested",
		"A change of the email address of your account was requested. A link was\nsent to the new address. The address changes when the link is used. A\nnew password makes the link invalid.", resetPassword),
	addressChanged: event("Your email address was changed",
		"The email address of your account was changed. You cannot sign in with\nthis address any more, and it gets no more mails about the account.", askAdministrator),
	PasswordChanged: event("Your password was changed",
		"The password of your account was changed or reset.", resetPassword),
	FactorAdded: event("A second factor was added",
		"A second factor was added to your account. From now on, a sign-in also\nneeds a code of an authenticator app.", removeFactor),
	FactorRemoved: event("Your second factor was removed",
		"The second factor of your account was removed. From now on, the password\nalone is enough to sign in.", resetPassword),
	RecoveryCodesReplaced: event("Your recovery codes were replaced",
		"New recovery codes were made for your account. The old codes are invalid.", resetPassword),
	RecoveryCodeUsed: event("A recovery code was used",
		"One of your recovery codes was used in place of a code of your\nauthenticator app.", resetPassword),
	NewNetwork: event("New sign-in to your account",
		"Somebody signed in to your account from a network that you did not use in\nthe last 30 days.", resetPassword),
	pinSet: event("Your PIN was set",
		"A PIN of yours was set, or was replaced by another PIN.", askSupport),
	pinRemoved: event("Your PIN was removed",
		"A PIN of yours was removed. Actions that needed it may now need no PIN.", askSupport),
	pinLocked: event("Your PIN is locked",
		"A wrong PIN of yours was entered several times, so the PIN is locked for\nsome time. Further locks of today are not reported.", askSupport),
	pinDeactivated: event("Your PIN is deactivated",
		"A wrong PIN of yours was entered so often that the PIN was deactivated. It\ncannot be used until a new PIN is set.", askSupport),
}

// What a person should do who did not cause an event.
const (
	resetPassword    = "choose a new password now, with \"forgot password\" on the\nsign-in page. All sessions of the account end then."
	removeFactor     = "choose a new password now, with \"forgot password\" on the\nsign-in page, and ask an administrator of this service to remove the\nsecond factor: a new password alone does not remove it."
	askAdministrator = "somebody else controls your account now. Ask an\nadministrator of this service for help."
	askSupport       = "somebody else may know or guess your PIN. Ask the service that\nuses the PIN for help."
)

// event returns the contents of a security mail.
func event(subject, what, advice string) contents {
	return contents{subject, "Hello,\n\n" + what + `

It happened on {created}.
It came from: {source}.

If it was you, or if you expected it, you do not need to do anything.

If not, ` + advice + "\n"}
}

// eml returns the mail in the format of RFC 5322. It is ASCII unless the address is not.
func (l letter) eml(from mail.Address) []byte {
	moment := func(t time.Time) string { return t.UTC().Format("2 January 2006 at 15:04 UTC") }
	body := strings.NewReplacer("{created}", moment(l.created), "{expires}", moment(l.expires), "{source}", l.source, "{link}", l.link.Reveal()).Replace(letters[l.kind].text)
	_, domain, _ := strings.Cut(from.Address, "@")
	var text bytes.Buffer
	for _, header := range [][2]string{
		{"From", from.String()},
		{"To", (&mail.Address{Address: l.to}).String()},
		{"Subject", letters[l.kind].subject},
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
