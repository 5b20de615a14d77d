package stdio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"strings"
	"sync"

	"github.com/countersign/countersign/services/gate/internal/message"
)

const (
	// maxRequests limits the calls that are not answered or forwarded yet, and the responses that the gate waits for.
	maxRequests = 4096
	// maxSent limits the requests whose ids are remembered.
	maxSent = 1 << 16
	// maxAwaitedID is the longest id of a response that the gate waits for, in bytes: the server may never answer.
	maxAwaitedID = 1 << 10
)

var (
	errCancelled = errors.New("the client cancelled the call")
	errEnding    = errors.New("the gate ends")
)

// requests are the requests of the client that the gate must remember.
type requests struct {
	maxBytes int

	mu      sync.Mutex
	ended   bool
	running sync.WaitGroup
	// calls and bytes count the calls that are judged or whose answer waits for the client.
	calls, bytes int
	// judged and awaited have keys of message.IDKey.
	judged  map[string]*judgement
	awaited map[string]*awaited
	// ids has hashes of the ids of all requests that were sent to the server. unclear is true if that is not possible any more.
	ids     map[uint64]struct{}
	seed    maphash.Seed
	unclear bool
}

func newRequests(maxBytes int) *requests {
	return &requests{
		maxBytes: maxBytes, judged: map[string]*judgement{}, awaited: map[string]*awaited{}, ids: map[uint64]struct{}{}, seed: maphash.MakeSeed(),
	}
}

// judgement is a call that is judged.
type judgement struct {
	key string
	// ctx ends with the cause errCancelled or errEnding.
	ctx    context.Context
	cancel context.CancelCauseFunc
}

// awaited is a request at the server whose response the gate needs.
type awaited struct {
	// call is true for a call of a tool. No other request may use its id, because the gate changes the response.
	call bool
	// response gets the response and returns what the client gets instead.
	response func(message.Message) []byte
}

// start runs work in a goroutine that wait waits for. It returns false if the gate ends.
func (r *requests) start(work func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.running.Go(work)
	}
	return !r.ended
}

// judge starts a goroutine that judges a call. work must call leave. If the call cannot be taken, judge returns why.
func (r *requests) judge(id json.RawMessage, bytes int, work func(*judgement)) (refused string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.has(id):
		return "a request with this id is not answered yet"
	case r.calls >= maxRequests || r.bytes+bytes > r.maxBytes:
		return "too many calls wait"
	case r.ended:
		return "the gate ends"
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	j := &judgement{message.IDKey(id), ctx, cancel}
	r.judged[j.key] = j
	r.calls++
	r.bytes += bytes
	r.running.Go(func() {
		defer cancel(nil)
		work(j)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.calls--
		r.bytes -= bytes
	})
	return ""
}

// leave removes a call that is decided. It returns false if the call must have no effect, because it was cancelled. Another call may
// have its id then.
func (r *requests) leave(j *judgement) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.judged[j.key] != j {
		return false
	}
	delete(r.judged, j.key)
	return true
}

// cancel ends the judgement of a call. It returns false if no such call is judged.
func (r *requests) cancel(id json.RawMessage) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := message.IDKey(id)
	delete(r.awaited, key) // the server may never answer it
	j, found := r.judged[key]
	if found {
		delete(r.judged, key)
		j.cancel(errCancelled)
	}
	return found
}

// inGate reports whether a call with this id is judged, or its response will be changed.
func (r *requests) inGate(id json.RawMessage) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.has(id)
}

func (r *requests) has(id json.RawMessage) bool {
	key := message.IDKey(id)
	_, found := r.judged[key]
	waiting := r.awaited[key]
	return found || (waiting != nil && waiting.call)
}

// sent remembers that a request goes to the server. It returns false if a response with its id could be the response to an earlier
// request. A client could then take that response for the one to an approved call, and continue the call once more.
func (r *requests) sent(id json.RawMessage) (unique bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unclear = r.unclear || !sameForAll(id) || len(r.ids) == maxSent
	if r.unclear {
		return false
	}
	hash := maphash.String(r.seed, strings.TrimPrefix(message.IDKey(id), `"`)) // some servers take "1" for 1
	_, found := r.ids[hash]
	r.ids[hash] = struct{}{}
	return !found
}

// sameForAll reports whether all servers answer with the same id. Some would answer 1 to a request with the id 1.0 or 1.5.
func sameForAll(id json.RawMessage) bool {
	if id[0] == '"' {
		return message.IDKey(id) != string(id) // equal if the text has lone surrogates or U+0000
	}
	return len(id) <= 15 && string(id) != "-0" && len(bytes.Trim(id, "-0123456789")) == 0
}

// await sets what happens with the response to a request. If too many responses are awaited, it does nothing; then the response passes
// without a change.
func (r *requests) await(id json.RawMessage, a awaited) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.awaited) < maxRequests && len(id) <= maxAwaitedID {
		r.awaited[message.IDKey(id)] = &a
	}
}

// awaiting reports whether any response is awaited.
func (r *requests) awaiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.awaited) > 0
}

// answered returns what await was told about the request with this id, once, or nil.
func (r *requests) answered(id json.RawMessage) *awaited {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := message.IDKey(id)
	a := r.awaited[key]
	delete(r.awaited, key)
	return a
}

// end ends all judgements. Nothing is started afterwards.
func (r *requests) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	for _, j := range r.judged {
		j.cancel(errEnding)
	}
}

// wait waits until everything that was started is done, or ctx ends. Nothing may be started at the same time.
func (r *requests) wait(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		r.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
