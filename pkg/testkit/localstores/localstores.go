// Package localstores runs a private Postgres and a private Redis for one copy of the repository: as child processes, on
// loopback ports, behind random passwords, out of the binaries that the machine has. What one start keeps in its folder
// the next one finds; a throw-away server leaves nothing. Whoever starts a server stops it, and one that an earlier,
// crashed run left behind in the same folder is ended first. One program at a time may use a folder: the caller sees to
// that.
package localstores

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/countersign/countersign/pkg/testkit/localstores/child"
)

const (
	// startWithin includes the recovery of a Postgres that was killed.
	startWithin = time.Minute
	stopWithin  = 15 * time.Second
	readyPoll   = 20 * time.Millisecond
	portTries   = 5
	user        = "countersign"
)

// ErrPortTaken says that another program listens on the port.
var ErrPortTaken = errors.New("the port is in use by another program")

// Options say where a server lives.
type Options struct {
	// Folder keeps data, password and log. Empty means throw-away: a temporary folder that Stop removes, and nothing is
	// flushed to the disk.
	Folder string
	// Port on 127.0.0.1; 0: any free one.
	Port int
	// RedisSettings are further lines of Redis's configuration.
	RedisSettings []string
}

// Server is a running Postgres or Redis.
type Server struct {
	// URL has the password in it. Postgres's names a superuser and the maintenance database.
	URL string

	process *child.Process
	place   place
	stop    syscall.Signal
}

// Done is closed when the server has ended, whatever the reason.
func (s *Server) Done() <-chan struct{} { return s.process.Done() }

// Signal sends a signal to the server, so that a test can freeze it or let it go on.
func (s *Server) Signal(sig syscall.Signal) error { return s.process.Signal(sig) }

// Stop ends the server and removes what was throw-away.
func (s *Server) Stop() error {
	return errors.Join(s.process.Stop(s.stop, stopWithin), s.place.clear())
}

// program is what differs between the two servers.
type program struct {
	name string
	// leftover ends what an earlier run left behind in the place.
	leftover func(ctx context.Context, at place) error
	// launch starts the server on a port.
	launch func(at place, port int) (*child.Process, error)
	// ask returns nil when the server at url answers to its password.
	ask func(ctx context.Context, at *url.URL) error
	url url.URL
	// stop is the signal that ends it.
	stop syscall.Signal
}

func (p program) start(ctx context.Context, at place, port int) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	if err := p.leftover(ctx, at); err != nil {
		return nil, fmt.Errorf("ending an earlier %s: %w", p.name, err)
	}
	if port != 0 {
		return p.startOn(ctx, at, port)
	}
	// Between finding a port free and listening on it, somebody else may take it.
	for try := 1; ; try++ {
		s, err := p.startOn(ctx, at, freePort())
		if err == nil || try == portTries || ctx.Err() != nil {
			return s, err
		}
	}
}

func (p program) startOn(ctx context.Context, at place, port int) (*Server, error) {
	if !PortFree(port) {
		return nil, fmt.Errorf("%s on port %d: %w", p.name, port, ErrPortTaken)
	}
	process, err := p.launch(at, port)
	if err != nil {
		return nil, err
	}
	address := p.url
	address.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	s := &Server{URL: address.String(), process: process, place: at, stop: p.stop}
	for {
		if err = p.ask(ctx, &address); err == nil {
			return s, nil
		}
		select {
		case <-process.Done():
			return nil, fmt.Errorf("%s ended at once; its last words:\n%s", p.name, child.LastWords(at.log(), 10))
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("waiting for %s to answer: %w", p.name, err), process.Stop(p.stop, stopWithin))
		case <-time.After(readyPoll):
		}
	}
}

// PortFree reports whether nothing listens on a loopback port.
func PortFree(port int) bool {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}
