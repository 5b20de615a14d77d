package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
	"golang.org/x/net/idna"

	"github.com/countersign/countersign/pkg/secret"
)

// server is the mail server that accepts all mails.
type server struct {
	from     mail.Address
	host     string
	port     int
	implicit bool
	starttls gomail.TLSPolicy
	user     string
	password secret.Text
	// step limits each step of the SMTP conversation.
	step time.Duration
}

const stepTime = 20 * time.Second

var policies = map[string]gomail.TLSPolicy{
	"mandatory": gomail.TLSMandatory, "opportunistic": gomail.TLSOpportunistic, "none": gomail.NoTLS,
}

// parseSMTP parses SMTP_URL, or returns errSMTP.
func parseSMTP(text string) (server, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.Fragment != "" {
		return server{}, errSMTP
	}
	s := server{host: u.Hostname(), port: 587, step: stepTime, user: u.User.Username()}
	switch u.Scheme {
	case "smtp":
	case "smtps":
		s.implicit, s.port = true, 465
	default:
		return server{}, errSMTP
	}
	if text := u.Port(); text != "" {
		if s.port, err = strconv.Atoi(text); err != nil || s.port < 1 || s.port > 65535 {
			return server{}, errSMTP
		}
	}
	password, _ := u.User.Password()
	s.password = secret.New(password)
	for name, values := range u.Query() {
		known := true
		switch name {
		case "starttls":
			s.starttls, known = policies[values[0]]
			known = known && !s.implicit
		case "timeout":
			s.step, err = time.ParseDuration(values[0])
			known = err == nil && s.step > 0 && s.step <= sendTime
		default:
			known = false
		}
		if !known || len(values) > 1 {
			return server{}, errSMTP
		}
	}
	return s, nil
}

// deliver sends a letter. It returns errRefused when the server refuses the letter itself. After any other error a retry can
// succeed.
func (s server) deliver(ctx context.Context, l letter) error {
	to, err := envelope(l.to)
	if err != nil {
		return err
	}
	client, err := s.dial(ctx)
	if err != nil {
		return safe("connecting", err)
	}
	defer client.Close()
	return s.converse(client, to, l)
}

// dial returns a connection with the encryption and authentication of the settings. It is closed when ctx ends, also during a
// read or a write.
func (s server) dial(ctx context.Context) (*smtp.Client, error) {
	connect := func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		context.AfterFunc(ctx, func() { conn.Close() })
		if !s.implicit {
			return conn, nil
		}
		secured := tls.Client(conn, &tls.Config{ServerName: s.host, MinVersion: tls.VersionTLS12})
		return secured, secured.HandshakeContext(dialing)
	}
	options := []gomail.Option{gomail.WithPort(s.port), gomail.WithTimeout(s.step), gomail.WithTLSPolicy(s.starttls), gomail.WithDialContextFunc(connect)}
	if s.implicit {
		options = append(options, gomail.WithSSL())
	}
	if s.user != "" {
		options = append(options, gomail.WithUsername(s.user), gomail.WithPassword(s.password.Reveal()),
			gomail.WithOpportunisticSMTPAuth(gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin))
	}
	client, err := gomail.NewClient(s.host, options...)
	if err != nil {
		return nil, err
	}
	return client.DialToSMTPClientWithContext(ctx)
}

// converse runs the part of the SMTP conversation that is about this letter.
func (s server) converse(client *smtp.Client, to string, l letter) error {
	international, _ := client.Extension("SMTPUTF8")
	if !isASCII(to) && !international {
		return fmt.Errorf("%w: it does not support addresses that are not ASCII (SMTPUTF8)", errRefused)
	}
	client.SkipSMTPUTF8(isASCII(to)) // a later server without SMTPUTF8 would return the mail
	var data io.WriteCloser
	for _, step := range []struct {
		name string
		take func() error
	}{
		{"MAIL", func() error { return client.Mail("<" + s.from.Address + ">") }},
		{"RCPT", func() error { return client.Rcpt("<" + to + ">") }},
		{"DATA", func() (err error) { data, err = client.Data(); return err }},
		{"DATA", func() error { _, err := data.Write(l.eml(s.from)); return err }},
		{"DATA", func() error { return data.Close() }},
	} {
		if err := client.UpdateDeadline(s.step); err != nil {
			return safe(step.name, err)
		}
		if err := step.take(); err != nil {
			// A refusal of the recipient or of the mail is permanent. An operator can correct the cause of any other failure.
			if answer := (*textproto.Error)(nil); step.name != "MAIL" && errors.As(err, &answer) && answer.Code >= 500 {
				return fmt.Errorf("%w: %d to %s", errRefused, answer.Code, step.name)
			}
			return safe(step.name, err)
		}
	}
	_ = client.Quit() // the server has accepted the mail, whatever it answers now
	return nil
}

// safe returns an error without the server's text, which often contains an address.
func safe(step string, err error) error {
	var answer *textproto.Error
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &answer):
		return fmt.Errorf("the mail server answered %d to %s", answer.Code, step)
	case errors.As(err, &certificate):
		return errors.New("the mail server has no valid certificate for its name")
	case errors.As(err, &network):
		return fmt.Errorf("%s: %w", step, network)
	}
	return fmt.Errorf("%s: the mail server closed the connection, or does not support what SMTP_URL requires (STARTTLS, authentication)", step)
}

// envelope returns an address with its domain in ASCII, as SMTP needs it.
func envelope(address string) (string, error) {
	local, domain, _ := strings.Cut(address, "@")
	ascii, err := idna.Lookup.ToASCII(domain)
	if err != nil {
		return "", fmt.Errorf("%w: the domain is invalid", errRefused)
	}
	return local + "@" + ascii, nil
}

func isASCII(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool { return r > 127 }) < 0
}
