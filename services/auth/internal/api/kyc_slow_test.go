package api_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// sender is a client on a connection of its own that sends only a part of a webhook.
type sender struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// startWebhook sends the headers of a webhook with a body of this size, from a client address. It returns when the service has
// started to read the body.
func (s *service) startWebhook(address string, size int) sender {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.server.URL(), "http://"))
	must(s.t, err)
	s.t.Cleanup(func() { conn.Close() })
	must(s.t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	fmt.Fprintf(conn, "POST /api/kyc/webhook HTTP/1.1\r\nHost: auth\r\nX-Forwarded-For: %s\r\nX-Payload-Digest: 00\r\nX-Payload-Digest-Alg: HMAC_SHA256_HEX\r\n"+
		"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", address, size)
	c := sender{s.t, conn, bufio.NewReader(conn)}
	if status := c.answer(); status != http.StatusContinue {
		s.t.Fatalf("the service answered %d before the body", status)
	}
	if _, err := c.in.ReadString('\n'); err != nil { // the empty line after the status
		s.t.Fatal(err)
	}
	return c
}

// answer reads the status line of an answer. It returns 0 if there is none.
func (c sender) answer() (status int) {
	line, err := c.in.ReadString('\n')
	if err == nil {
		_, err = fmt.Sscanf(line, "HTTP/1.1 %d", &status)
	}
	if err != nil {
		c.t.Errorf("no answer: %q, %v", line, err)
	}
	return status
}

func (c sender) send(n int) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(strings.Repeat(" ", n))); err != nil {
		c.t.Fatal(err)
	}
}

// vendorFrom sends a valid webhook of a size, from a client address, and returns the status.
func (s *service) vendorFrom(address string, size int) int {
	s.t.Helper()
	body := review(s.signedIn().id, "applicantReviewed", green, time.Now())
	body += strings.Repeat(" ", max(0, size-len(body)))
	return s.post("/api/kyc/webhook", body, append(sumsubHeaders("sumsub-canary-new", body), "X-Forwarded-For", address)...).Status
}

const (
	large  = 100 << 10
	vendor = "198.51.100.1"
)

// 300 connections that send headers but no body must not stop the webhooks of vendors, large or small.
func TestIdleConnectionsDoNotStopWebhooks(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s = s.replica(oldKey)
	for i := range 300 {
		c := s.startWebhook(fmt.Sprintf("203.0.113.%d", i%250), 1<<20)
		if i%2 == 0 {
			c.send(1000)
		}
	}
	for _, size := range []int{0, large} {
		if status := s.vendorFrom(vendor, size); status != http.StatusOK {
			t.Errorf("a webhook of %d bytes is answered with %d", size, status)
		}
	}
}

// Connections that stop within a large body have only the places of their network, and lose them.
func TestStoppedSendersOfLargeBodiesLoseTheirPlaces(t *testing.T) {
	t.Parallel()
	s := newService(t)
	s.proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	s = s.replica(oldKey)
	statuses := make(chan int, 40)
	for i := range cap(statuses) {
		c := s.startWebhook(fmt.Sprintf("2001:db8:0:1::%x", i), 1<<20)
		c.send(17 << 10)
		go func() { statuses <- c.answer() }()
	}
	counts := map[int]int{}
	for counts[http.StatusServiceUnavailable] == 0 && counts[http.StatusRequestTimeout] < cap(statuses) {
		counts[<-statuses]++
	}
	if status := s.vendorFrom(vendor, large); status != http.StatusOK {
		t.Errorf("while the network has all its places, another network is answered with %d", status)
	}
	for n := counts[http.StatusServiceUnavailable] + counts[http.StatusRequestTimeout]; n < cap(statuses); n++ {
		counts[<-statuses]++
	}
	if counts[http.StatusRequestTimeout] < 8 || counts[http.StatusServiceUnavailable] == 0 || len(counts) != 2 {
		t.Errorf("the senders are answered with %v, want 408 for those that had a place, and 503 for the others", counts)
	}
	if status := s.vendorFrom("2001:db8:0:1::1", large); status != http.StatusOK {
		t.Errorf("the network is answered with %d after its senders lost their places", status)
	}
}
