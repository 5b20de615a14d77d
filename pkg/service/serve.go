package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	readTime  = 10 * time.Second
	writeTime = 30 * time.Second
	// requestTime is longer than readTime, so that a slow body leaves time for the request, and shorter than writeTime, so that an
	// answer can still be sent.
	requestTime = 15 * time.Second
)

func newServer(log *slog.Logger, addr string, handler http.Handler) *http.Server {
	return &http.Server{
		Addr: addr, Handler: handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// servers are the HTTP servers of a process.
type servers struct {
	all []*http.Server
	// failed receives the error of a server that stops answering.
	failed chan error
}

// listen starts the servers. When one address is not free, it starts none of them.
func listen(all ...*http.Server) (servers, error) {
	listeners := make([]net.Listener, len(all))
	for i, server := range all {
		listener, err := net.Listen("tcp", server.Addr)
		if err != nil {
			for _, opened := range listeners[:i] {
				opened.Close()
			}
			return servers{}, fmt.Errorf("listening on %s: %w", server.Addr, err)
		}
		listeners[i] = listener
	}
	s := servers{all, make(chan error, len(all))}
	for i, server := range all {
		go func() {
			if err := server.Serve(listeners[i]); !errors.Is(err, http.ErrServerClosed) {
				s.failed <- fmt.Errorf("serving on %s: %w", server.Addr, err)
			}
		}()
	}
	return s, nil
}

// shutDown accepts no more requests and waits until the running ones end, at the latest until ctx ends.
func (s servers) shutDown(ctx context.Context) error {
	var problems []error
	for _, server := range s.all {
		if err := server.Shutdown(ctx); err != nil {
			problems = append(problems, fmt.Errorf("stopping %s: %w", server.Addr, err), server.Close())
		}
	}
	return errors.Join(problems...)
}
