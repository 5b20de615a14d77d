package pin

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/token"
)

const (
	// rememberTime is how long a replica remembers a refusal, from before it asked Postgres. It is the longest time for which
	// a refusal can be wrong, for example after Redis lost its data or Postgres was restored from a backup.
	rememberTime = 2 * time.Second
	// lockKeyTime is how long Redis keeps a lock key. It must be longer than rememberTime: a replica that still remembers an
	// ended lock must find the key "open".
	lockKeyTime = 3 * time.Second
	// maxRemembered is the largest number of questions whose refusal a replica remembers. Each takes about 300 bytes.
	maxRemembered = 10_000
	// unwrittenTime is how long a replica waits after it tried to write a lock key, before it tries again. So not every refusal
	// asks Redis during a storm that follows a change of the PIN, or while Redis is down.
	unwrittenTime = time.Second
)

// refusals remembers which questions Postgres refused because the PIN was locked or deactivated. While guesses are sent to
// such a PIN, a replica answers them without Postgres, except for about one a second.
//
// A remembered refusal is used only while Redis confirms that the same lock stands. So an unlock counts at once, at every
// replica. If Redis does not answer, Postgres decides. docs/decisions/0017 has the reasons and a measurement.
type refusals struct {
	locks  lockKeys
	memory *lru.Cache[question, *rememberedRefusal]
	now    func() time.Time
}

// question is what a caller asks: the proxy key and the subject. The key is zero for customers who prove their own PIN.
type question struct {
	keyHash [sha256.Size]byte
	subject Subject
}

func questionOf(key token.Token, subject Subject) question {
	return question{[sha256.Size]byte(key.Hash()), subject}
}

// rememberedRefusal is the answer that Postgres gave. askedAt is the time before Postgres was asked, by this process's clock.
type rememberedRefusal struct {
	holder  uuid.UUID
	lock    string
	answer  Result
	askedAt time.Time
	// unwritten is true until Redis has accepted the lock. The entry refuses nothing until then.
	unwritten bool
	// renewing is true after one request has been sent to Postgres to renew this entry.
	renewing atomic.Bool

	mu sync.Mutex
	// next is the lookup that will start next. It is nil if no request waits for one.
	next *lookup
	// turn is held during a lookup.
	turn sync.Mutex
}

// lookup is one question to Redis: whether a lock stands.
type lookup struct {
	once   sync.Once
	stands bool
}

func newRefusals(client redis.UniversalClient) refusals {
	memory, err := lru.New[question, *rememberedRefusal](maxRemembered)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return refusals{lockKeys{client}, memory, time.Now}
}

// recall returns the remembered refusal of a question. It returns nil if Postgres must decide.
func (f refusals) recall(ctx context.Context, q question) *Result {
	r, found := f.memory.Get(q)
	if !found || r.unwritten {
		return nil
	}
	age := f.now().Sub(r.askedAt)
	if age >= rememberTime {
		return nil
	}
	answer := r.answer
	if answer.LockedUntil != nil {
		if answer.RetryAfter -= age; answer.RetryAfter <= 0 {
			return nil
		}
	}
	// One request asks Postgres early. So the others do not all ask when the entry has expired.
	if age >= rememberTime/2 && r.renewing.CompareAndSwap(false, true) {
		return nil
	}
	if !r.stands(ctx, f.locks) {
		return nil
	}
	return &answer
}

// stands reports whether Redis confirms that the lock stands, at a moment after the call. Requests that wait at the same time
// share one lookup, so a flood does not fill the connections to Redis.
func (r *rememberedRefusal) stands(ctx context.Context, locks lockKeys) bool {
	r.mu.Lock()
	if r.next == nil {
		r.next = &lookup{}
	}
	shared := r.next
	r.mu.Unlock()
	shared.once.Do(func() {
		r.turn.Lock() // one lookup at a time
		defer r.turn.Unlock()
		r.mu.Lock()
		r.next = nil // a request that comes from now on needs a later lookup
		r.mu.Unlock()
		shared.stands = locks.stands(ctx, r.holder, r.lock)
	})
	return shared.stands
}

// remember remembers a refusal that is based on r. askedAt is the time before Postgres was asked.
func (f refusals) remember(ctx context.Context, q question, r Resolved, answer Result, askedAt time.Time) {
	lock := lockOf(r)
	if lock == "" {
		return
	}
	last, found := f.memory.Get(q)
	if found && last.unwritten && f.now().Sub(last.askedAt) < unwrittenTime {
		return
	}
	holder := r.HolderID.UUID
	if !found || last.unwritten {
		f.memory.Add(q, &rememberedRefusal{holder: holder, lock: lock, answer: answer, askedAt: askedAt, unwritten: true})
	}
	if f.locks.write(ctx, holder, lock) {
		f.memory.Add(q, &rememberedRefusal{holder: holder, lock: lock, answer: answer, askedAt: askedAt})
	}
}

// lockOf returns a text that differs for each lock of a holder. It is empty if the PIN is neither locked nor deactivated.
func lockOf(r Resolved) string {
	switch {
	case r.Deactivated:
		return "deactivated"
	case r.Locked():
		return strconv.FormatInt(r.LockedUntil.UnixMicro(), 10)
	}
	return ""
}

// lockKeys are the keys in Redis that say for a few seconds which lock of a holder stands. They ignore errors, because no lock
// depends on them.
type lockKeys struct{ redis redis.UniversalClient }

//go:embed refuse.lua
var refuseLua string

var refuseScript = redis.NewScript(refuseLua)

// open is the value of a lock key after the lock was lifted.
const open = "open"

func lockKey(holder uuid.UUID) string { return "pin:{" + holder.String() + "}:lock" }

// stands reports whether Redis confirms that a lock stands. A client that disconnects does not cancel it, because other requests
// may wait for the same answer.
func (k lockKeys) stands(ctx context.Context, holder uuid.UUID, lock string) bool {
	value, err := k.redis.Get(context.WithoutCancel(ctx), lockKey(holder)).Result()
	return err == nil && value == lock
}

// write records that a lock stands. It returns false if Redis does not answer, or if the lock may have been lifted since the
// caller read it.
func (k lockKeys) write(ctx context.Context, holder uuid.UUID, lock string) bool {
	written, err := refuseScript.Run(ctx, k.redis, []string{lockKey(holder)}, lock, lockKeyTime.Milliseconds()).Int()
	return err == nil && written == 1
}

// lift makes every replica ask Postgres again about these holders. Call it after the change of the PIN is committed. A client
// that disconnects does not cancel it.
func (k lockKeys) lift(ctx context.Context, holders ...uuid.UUID) {
	_, _ = k.redis.Pipelined(context.WithoutCancel(ctx), func(pipe redis.Pipeliner) error {
		for _, holder := range holders {
			pipe.Set(ctx, lockKey(holder), open, lockKeyTime)
		}
		return nil
	})
}
