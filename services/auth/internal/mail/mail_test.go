package mail

import (
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	gomail "github.com/wneessen/go-mail"

	"github.com/countersign/countersign/pkg/secret"
)

func TestSMTPURLs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]server{
		"smtp://mail.example.com":                             {host: "mail.example.com", port: 587, starttls: gomail.TLSMandatory, step: stepTime},
		"smtp://ann%40example.com:p%3Aw@mail.example.com:25/": {host: "mail.example.com", port: 25, user: "ann@example.com", password: secret.New("p:w"), step: stepTime},
		"smtps://mail.example.com?timeout=5s":                 {host: "mail.example.com", port: 465, implicit: true, step: 5 * time.Second},
		"smtp://[::1]:1025?starttls=none":                     {host: "::1", port: 1025, starttls: gomail.NoTLS, step: stepTime},
		"smtp://mail?starttls=opportunistic":                  {host: "mail", port: 587, starttls: gomail.TLSOpportunistic, step: stepTime},
		"smtp://mail?starttls=mandatory&timeout=1m":           {host: "mail", port: 587, step: time.Minute},
	} {
		got, err := parseSMTP(text)
		if err != nil || got.password.Reveal() != want.password.Reveal() {
			t.Errorf("%s: %v", text, err)
		}
		got.password, want.password = secret.Text{}, secret.Text{}
		if got != want {
			t.Errorf("%s: got %+v", text, got)
		}
	}
	for _, text := range []string{"", "mail.example.com", "mail.example.com:587", "http://canary", "smtp://", "smtp://:25", "smtp://canary:0", "smtp://canary:99999", "smtp://canary:x",
		"smtp://canary/path", "smtp://canary#x", "smtp://canary?starttls=yes", "smtp://canary?starttls=none&starttls=mandatory", "smtps://canary?starttls=none",
		"smtp://canary?timeout=0s", "smtp://canary?timeout=1h", "smtp://canary?timeout=x", "smtp://canary?tls=none"} {
		if _, err := parseSMTP(text); err != errSMTP {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestLetterIsASCIIAndTheSameAtEveryAttempt(t *testing.T) {
	t.Parallel()
	from := mail.Address{Name: "Zürich Ünlimited, Inc.", Address: "no-reply@example.com"}
	const link = "https://auth.example.com/some/where/verify-email#token=csl_0123456789abcdefghjkmnpqrstvwxyz0123456789abcdefghjkmnpqrstvwxyz"
	for kind := range letters {
		l := letter{id: uuid.New(), kind: kind, to: "ann@example.com", created: time.Now(), expires: time.Now().Add(lifetime(kind))}
		_, linked := pages[kind]
		if linked {
			l.link = secret.New(link)
		} else if kind != Notice && kind != AddressInUse {
			l.source = "192.0.2.1"
		}
		text := string(l.eml(from))
		if text != string(l.eml(from)) || strings.Contains(text, "{") || strings.Contains(text, "\r\n"+link+"\r\n") != linked ||
			strings.Contains(text, "\r\nIt came from: 192.0.2.1.\r\n") != (l.source != "") {
			t.Errorf("%s:\n%s", kind, text)
		}
		for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
			if len(line) > 78 && line != link || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%s: %q", kind, line)
			}
		}
		m, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		sender, err := m.Header.AddressList("From")
		if err != nil || *sender[0] != from || m.Header.Get("Message-Id") != "<"+l.id.String()+"@example.com>" || m.Header.Get("Subject") == "" {
			t.Errorf("%s: %v %v", kind, m.Header, err)
		}
		if date, err := m.Header.Date(); err != nil || date.Unix() != l.created.Unix() {
			t.Errorf("%s: %v %v", kind, date, err)
		}
	}
}
