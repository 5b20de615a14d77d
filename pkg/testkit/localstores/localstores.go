// Package localstores runs a private Postgres and a private Redis, for `make run` and for tests. The servers are child
// processes, listen on loopback ports, and have random passwords. Their programs must be installed on the machine.
//
// A server keeps its data in a folder, and the next start in this folder finds the data. A temporary server deletes its data.
// The caller must stop each server. If an earlier run crashed and its server still runs in the folder, a start ends that
// server first. Only one program at a time may use a folder. The caller must ensure this.
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
	// startTimeout is long enough for the recovery of a Postgres that was killed.
	startTimeout = time.Minute
	stopTimeout  = 15 * time.Second
	readyPoll    = 20 * time.Millisecond
	portTries    = 5
	// user is the superuser of a new Postgres.
	user = "countersign"
)

// ErrPortTaken says that another program uses the port.
var ErrPortTaken = errors.New("the port is in use by another program")

// Options are the settings of a server.
type Options struct {
	// Folder contains the data, the password and the log. Empty means a temporary server: Stop deletes its folder, and the
	// server does not flush data to the disk.
	Folder string
	// Port is the port on 127.0.0.1. 0 means any free port.
	Port int
	// RedisSettings are additional lines of Redis's configuration.
	RedisSettings []string
}

// Server is a running Postgres or Redis.
type Server struct {
	// URL contains the password. The URL of a Postgres is for its superuser and the database postgres.
	URL string

	process    *child.Process
	place      place
	stopSignal syscall.Signal
}

// Done returns a channel that is closed when the server has ended for any reason.
func (s *Server) Done() <-chan struct{} { return s.process.Done() }

// Signal sends a signal to the server. Tests use it to freeze and resume the server.
func (s *Server) Signal(sig syscall.Signal) error { return s.process.Signal(sig) }

// Stop ends the server, and deletes the data of a temporary server.
func (s *Server) Stop() error {
	return errors.Join(s.process.Stop(s.stopSignal, stopTimeout), s.place.clear())
}

// program contains what differs between the servers.
type program struct {
	name string
	// endLeftover ends a server of an earlier run in this place.
	endLeftover func(ctx context.Context, at place) error
	// launch starts the server on a port.
	launch func(at place, port int) (*child.Process, error)
	// ping returns nil if the server at address accepts the password.
	ping func(ctx context.Context, address *url.URL) error
	// url is the server's URL without the host and the port.
	url        url.URL
	stopSignal syscall.Signal
}

func (p program) start(ctx context.Context, at place, port int) (*Server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := p.endLeftover(ctx, at); err != nil {
		return nil, fmt.Errorf("ending the %s of an earlier run: %w", p.name, err)
	}
	if port != 0 {
		return p.startOn(ctx, at, port)
	}
	// Another program may take the port before the server listens on it.
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
	s := &Server{URL: address.String(), process: process, place: at, stopSignal: p.stopSignal}
	for {
		if err = p.ping(ctx, &address); err == nil {
			return s, nil
		}
		select {
		case <-process.Done():
			return nil, fmt.Errorf("%s ended at once; the end of its log:\n%s", p.name, child.LastLines(at.log(), 10))
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("waiting for %s to answer: %w", p.name, err), process.Stop(p.stopSignal, stopTimeout))
		case <-time.After(readyPoll):
		}
	}
}

// PortFree reports whether no program listens on a port of 127.0.0.1.
func PortFree(port int) bool {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	l.Close()
	return true
}
