package mail

import (
	"errors"
	"log/slog"
	"net/mail"
	"strings"
)

// Config describes how mails are sent. Without a server or a folder, mails stay in the outbox.
type Config struct {
	// SMTP is the URL of the mail server, for example smtp://user:password@host:587. smtp:// uses STARTTLS, smtps:// uses TLS
	// from the first byte. smtp:// takes ?starttls=mandatory (the default), opportunistic or none. Both take ?timeout=20s, the
	// limit of each step of the SMTP conversation. The URL is secret, because it contains the password.
	SMTP string `envconfig:"SMTP_URL"`
	// Folder is the folder where mails are written as files, instead of a server.
	Folder string `envconfig:"MAIL_DIR"`
	// From is the sender, for example Countersign <no-reply@example.com>.
	From string `envconfig:"MAIL_FROM" default:"Countersign <no-reply@localhost>"`
	// LinkURL is the base URL of the links in mails, for deployments with pages of their own. Default: PUBLIC_URL.
	LinkURL string `envconfig:"EMAIL_LINK_URL"`
}

var (
	errFrom = errors.New("MAIL_FROM must be an email address, for example Countersign <no-reply@example.com>")
	errSMTP = errors.New("SMTP_URL must be an smtp:// or smtps:// URL with a host; allowed parameters are timeout and, for smtp://, starttls (mandatory, opportunistic or none)")
	errBoth = errors.New("SMTP_URL and MAIL_DIR are both set")
)

// Validate returns an error that names every wrong setting and contains no value.
func (c Config) Validate() error {
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

// delivery returns nil when neither a server nor a folder is set.
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
