package mail

import (
	"errors"
	"log/slog"
	"net/mail"
	"strings"
)

// Config says where mails go, and from whom. Neither a server nor a folder: nowhere, they stay in the outbox.
type Config struct {
	// SMTP is the mail server, smtp:// (STARTTLS) or smtps:// (TLS from the first byte), as smtp://user:password@host:587.
	// smtp:// takes ?starttls=mandatory (the default), opportunistic or none, and both ?timeout=20s, for each step. It is
	// secret.
	SMTP string `envconfig:"SMTP_URL"`
	// Folder is where mails are written as files, in the place of a server.
	Folder string `envconfig:"MAIL_DIR"`
	// From is who writes, as Countersign <no-reply@example.com>.
	From string `envconfig:"MAIL_FROM" default:"Countersign <no-reply@localhost>"`
	// LinkURL is the base URL of the links in mails, in the place of PUBLIC_URL, for who has pages of their own.
	LinkURL string `envconfig:"EMAIL_LINK_URL"`
}

var (
	errFrom = errors.New("MAIL_FROM is not an email address, as Countersign <no-reply@example.com>")
	errSMTP = errors.New("SMTP_URL is not an smtp:// or smtps:// URL with a host, and of parameters only starttls (mandatory, opportunistic or none, for smtp://) and timeout")
	errBoth = errors.New("SMTP_URL and MAIL_DIR are both set")
)

// Check names what is wrong and prints none of it.
func (c Config) Check() error {
	var problems []error
	if from, err := mail.ParseAddress(c.From); err != nil || !isASCII(from.Address) {
		problems = append(problems, errFrom)
	}
	if _, err := parseSMTP(c.SMTP); c.SMTP != "" && err != nil {
		problems = append(problems, err)
	}
	if c.SMTP != "" && c.Folder != "" {
		problems = append(problems, errBoth)
	}
	return errors.Join(problems...)
}

func (c Config) linkURL(publicURL string) string {
	if c.LinkURL != "" {
		publicURL = c.LinkURL
	}
	return strings.TrimSuffix(publicURL, "/")
}

// delivery returns nil when there is none.
func (c Config) delivery(log *slog.Logger) delivery {
	from, err := mail.ParseAddress(c.From)
	if err != nil {
		return nil
	}
	if c.Folder != "" {
		return folder{c.Folder, *from, log}
	}
	server, err := parseSMTP(c.SMTP)
	if err != nil {
		return nil
	}
	server.from = *from
	return server
}
