package proxy

import (
	"errors"
	"io"
	"sync"
)

const (
	// maxRequests limits the requests that are in progress, and maxPerSubject those of one subject, so that it cannot stop the others.
	maxRequests   = 4096
	maxPerSubject = 1024
	// maxLong limits the memory for the long messages that are in progress, as a multiple of MaxMessage.
	maxLong = 8
	// shortMessage is how many bytes of a message do not count. So long messages do not keep the others from being read.
	shortMessage = 64 << 10
)

var errBusy = errors.New("too many long messages are in progress")

// load is what the requests in progress take.
type load struct {
	maxBytes int

	mu       sync.Mutex
	total    int
	subjects map[string]int
	bytes    int
}

// begin counts a request until leave is called. It returns false if there are too many.
func (l *load) begin(subject string) (leave func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total == maxRequests || l.subjects[subject] == maxPerSubject {
		return nil, false
	}
	l.total++
	l.subjects[subject]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.total--
		if l.subjects[subject]--; l.subjects[subject] == 0 {
			delete(l.subjects, subject)
		}
	}, true
}

// add changes the number of bytes, unless it would be too large.
func (l *load) add(n int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n > 0 && l.bytes+n > l.maxBytes {
		return false
	}
	l.bytes += n
	return true
}

// counted counts the bytes of a message until done is called.
type counted struct {
	load *load
	from io.Reader
	size int // of the message until now
	long int // what load counts
}

func (c *counted) Read(to []byte) (int, error) {
	n, err := c.from.Read(to)
	c.size += n
	if more := c.size - shortMessage - c.long; more > 0 {
		if !c.load.add(more) {
			return 0, errBusy
		}
		c.long += more
	}
	return n, err
}

func (c *counted) done() { c.load.add(-c.long) }
