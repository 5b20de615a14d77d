package mail_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const smtpPassword = "Canary-smtp-password"

// certificate is the certificate of the tests' mail servers. This process trusts it.
var certificate tls.Certificate

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "countersign-mail-")
	if err == nil {
		certificate, err = makeCertificate(filepath.Join(folder, "ca.pem"))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

func makeCertificate(file string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		errors.Join(os.WriteFile(file, text, 0o600), os.Setenv("SSL_CERT_FILE", file))
}

// smtpServer is an SMTP server for tests. failWith makes it fail.
type smtpServer struct {
	t    *testing.T
	port int

	mu sync.Mutex
	// fail, unless it is nil, returns the error of a step: MAIL, RCPT or DATA.
	fail func(step string, c *smtp.Conn) error
	// accepted are the mails that the server has accepted.
	accepted []delivered
}

type delivered struct {
	raw           []byte
	to            string
	encrypted     bool
	authenticated bool
}

type smtpServerOptions struct {
	port          int // 0: any free port
	implicit, utf bool
	withoutTLS    bool
}

func serveSMTP(t *testing.T, o smtpServerOptions) *smtpServer {
	t.Helper()
	s := &smtpServer{t: t}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &smtpSession{server: s, conn: c}, nil }))
	server.Domain, server.AllowInsecureAuth, server.EnableSMTPUTF8 = "localhost", true, o.utf
	server.ErrorLog = log.New(io.Discard, "", 0)
	settings := &tls.Config{Certificates: []tls.Certificate{certificate}}
	if !o.withoutTLS {
		server.TLSConfig = settings
	}
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", o.port))
	if err != nil {
		t.Fatal(err)
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	if o.implicit {
		listener = tls.NewListener(listener, settings)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-served })
	return s
}

func (s *smtpServer) url(scheme, parameters string) string {
	return fmt.Sprintf("%s://ann:%s@localhost:%d?%s", scheme, smtpPassword, s.port, parameters)
}

func (s *smtpServer) mails() []delivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]delivered{}, s.accepted...)
}

func (s *smtpServer) failWith(fail func(step string, c *smtp.Conn) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = fail
}

func (s *smtpServer) step(name string, c *smtp.Conn) error {
	s.mu.Lock()
	fail := s.fail
	s.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(name, c)
}

type smtpSession struct {
	server        *smtpServer
	conn          *smtp.Conn
	authenticated bool
	to            string
}

func (s *smtpSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *smtpSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		s.authenticated = user == "ann" && password == smtpPassword
		if !s.authenticated {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (s *smtpSession) Mail(string, *smtp.MailOptions) error { return s.server.step("MAIL", s.conn) }

func (s *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = to
	return s.server.step("RCPT", s.conn)
}

func (s *smtpSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	failure := s.server.step("DATA", s.conn)
	var refusal *smtp.SMTPError
	if errors.As(failure, &refusal) {
		return failure
	}
	_, encrypted := s.conn.TLSConnectionState()
	s.server.mu.Lock()
	s.server.accepted = append(s.server.accepted, delivered{raw, s.to, encrypted, s.authenticated})
	s.server.mu.Unlock()
	return failure
}

func (s *smtpSession) Reset()        {}
func (s *smtpSession) Logout() error { return nil }
