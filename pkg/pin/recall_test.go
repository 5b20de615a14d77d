package pin

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// The clock moves only when a test moves it.
func refusalsWithClock(t *testing.T) (f refusals, pass func(time.Duration)) {
	t.Helper()
	f = newRefusals(storetest.RedisClient(t, storetest.Redis(t)))
	now := time.Now()
	f.now = func() time.Time { return now }
	return f, func(d time.Duration) { now = now.Add(d) }
}

// lockedFor is a PIN that Postgres saw locked for this time.
func lockedFor(d time.Duration) Resolved {
	at, verifier := time.Now(), "…"
	until := at.Add(d)
	return Resolved{At: at, HolderID: uuid.NullUUID{UUID: uuid.New(), Valid: true}, Verifier: &verifier, LockedUntil: &until}
}

func TestRememberedRefusalIsUsedForTwoSeconds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		lock   time.Duration
		passed time.Duration
		// retryAfter is 0 if Postgres must decide.
		retryAfter time.Duration
	}{
		{"at once", time.Minute, 0, time.Minute},
		{"the wait becomes shorter", time.Minute, 900 * time.Millisecond, 59100 * time.Millisecond},
		{"after two seconds", time.Minute, rememberTime, 0},
		{"just before the lock ends", 500 * time.Millisecond, 499 * time.Millisecond, time.Millisecond},
		{"when the lock ends", 500 * time.Millisecond, 500 * time.Millisecond, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f, pass := refusalsWithClock(t)
			q, r := question{}, lockedFor(c.lock)
			f.remember(t.Context(), q, r, *refusal(r), f.now())
			pass(c.passed)
			answer := f.recall(t.Context(), q)
			if answer == nil {
				answer = f.recall(t.Context(), q) // the first request may have been sent to Postgres to renew the memory
			}
			switch {
			case answer == nil && c.retryAfter == 0:
			case answer == nil || c.retryAfter == 0:
				t.Errorf("remembered: %v", answer != nil)
			case answer.RetryAfter != c.retryAfter || !answer.LockedUntil.Equal(*r.LockedUntil) || answer.Outcome != Locked:
				t.Errorf("%s, until %s, after %s", answer.Outcome, answer.LockedUntil, answer.RetryAfter)
			}
		})
	}
}

func TestDeactivatedPINIsRememberedToo(t *testing.T) {
	t.Parallel()
	f, pass := refusalsWithClock(t)
	r := lockedFor(time.Minute)
	r.Deactivated = true
	f.remember(t.Context(), question{}, r, *refusal(r), f.now())
	pass(time.Second / 2)
	if answer := f.recall(t.Context(), question{}); answer == nil || answer.Outcome != Inactive || answer.LockedUntil != nil || answer.RetryAfter != 0 {
		t.Errorf("got %+v", answer)
	}
}

// In the second second, one request asks Postgres, so that the others need not.
func TestOneRequestRenewsARememberedRefusal(t *testing.T) {
	t.Parallel()
	f, pass := refusalsWithClock(t)
	r := lockedFor(time.Minute)
	f.remember(t.Context(), question{}, r, *refusal(r), f.now())
	pass(rememberTime / 2)
	if f.recall(t.Context(), question{}) != nil {
		t.Error("no request was sent to Postgres")
	}
	if f.recall(t.Context(), question{}) == nil {
		t.Error("a second request was sent to Postgres")
	}
}

func TestRefusalIsRememberedForOneQuestion(t *testing.T) {
	t.Parallel()
	f, _ := refusalsWithClock(t)
	r := lockedFor(time.Minute)
	asked := question{keyHash: [32]byte{1}, subject: Subject{InstanceID: uuid.New(), CustomerID: r.HolderID}}
	f.remember(t.Context(), asked, r, *refusal(r), f.now())
	for name, other := range map[string]question{
		"another key":      {[32]byte{2}, asked.subject},
		"another instance": {asked.keyHash, Subject{InstanceID: uuid.New(), CustomerID: r.HolderID}},
		"another person":   {asked.keyHash, Subject{InstanceID: asked.subject.InstanceID, CustomerID: uuid.NullUUID{UUID: uuid.New(), Valid: true}}},
		"an identity":      {asked.keyHash, Subject{InstanceID: asked.subject.InstanceID, CustomerID: r.HolderID, IdentityID: r.HolderID}},
	} {
		if f.recall(t.Context(), other) != nil {
			t.Errorf("%s: refused without Postgres", name)
		}
	}
	if f.recall(t.Context(), asked) == nil {
		t.Error("the refusal is not remembered")
	}
}

// A replica may have read Postgres before an unlock, and write the lock key after it.
func TestLateReaderDoesNotUndoALift(t *testing.T) {
	t.Parallel()
	f, _ := refusalsWithClock(t)
	r := lockedFor(time.Minute)
	f.locks.lift(t.Context(), r.HolderID.UUID)
	f.remember(t.Context(), question{}, r, *refusal(r), f.now())
	if f.recall(t.Context(), question{}) != nil || f.locks.stands(t.Context(), r.HolderID.UUID, lockOf(r)) {
		t.Error("the lock counts although it was lifted")
	}
}

// A lock that another replica knows, or a key that a party with access to Redis wrote, refuses no attempt by itself.
func TestLockKeyAloneRefusesNothing(t *testing.T) {
	t.Parallel()
	f, _ := refusalsWithClock(t)
	r, other := lockedFor(time.Minute), lockedFor(2*time.Minute)
	f.locks.write(t.Context(), r.HolderID.UUID, lockOf(r))
	if f.recall(t.Context(), question{}) != nil {
		t.Error("refused without a remembered refusal")
	}
	f.remember(t.Context(), question{}, r, *refusal(r), f.now())
	f.locks.write(t.Context(), r.HolderID.UUID, lockOf(other))
	if f.recall(t.Context(), question{}) != nil {
		t.Error("refused although Redis has another lock")
	}
}

func TestRememberedRefusalNeedsRedis(t *testing.T) {
	t.Parallel()
	f, _ := refusalsWithClock(t)
	r := lockedFor(time.Minute)
	f.remember(t.Context(), question{}, r, *refusal(r), f.now())
	if f.recall(t.Context(), question{}) == nil {
		t.Fatal("nothing is remembered")
	}
	closed := redis.NewClient(&redis.Options{})
	closed.Close()
	f.locks.redis = closed
	if f.recall(t.Context(), question{}) != nil {
		t.Error("refused although Redis does not answer")
	}
}

// After a change of the PIN, Redis accepts no lock for some seconds. A storm must not ask it for each refusal.
func TestRefusalIsWrittenOnceASecond(t *testing.T) {
	t.Parallel()
	f, pass := refusalsWithClock(t)
	r := lockedFor(time.Minute)
	key := lockKey(r.HolderID.UUID)
	remember := func() { f.remember(t.Context(), question{}, r, *refusal(r), f.now()) }
	f.locks.lift(t.Context(), r.HolderID.UUID)
	remember()
	if f.recall(t.Context(), question{}) != nil {
		t.Error("a refusal is remembered although the lock may have been lifted")
	}
	f.locks.redis.Del(t.Context(), key)
	remember()
	if n := f.locks.redis.Exists(t.Context(), key).Val(); n != 0 {
		t.Error("the lock was written again at once")
	}
	pass(unwrittenTime)
	remember()
	if f.recall(t.Context(), question{}) == nil {
		t.Error("nothing is remembered a second later")
	}
}
