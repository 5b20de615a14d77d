package audit_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/countersign/countersign/pkg/audit"
	"github.com/countersign/countersign/pkg/caller"
	"github.com/countersign/countersign/pkg/keyring"
	"github.com/countersign/countersign/pkg/schema"
	"github.com/countersign/countersign/pkg/testkit/storetest"
)

// A cursor is valid as long as its key is on the ring. Two cursors of one position differ, because each is encrypted separately.
func TestCursorSurvivesKeyRotation(t *testing.T) {
	t.Parallel()
	const old, next = "one:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "two:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
	db := storetest.Postgres(t).Open(t, schema.RolePinAdmin)
	read := func(keys string, cursor *string) ([]audit.Entry, *string, error) {
		t.Helper()
		ring, err := keyring.Parse(keys)
		if err != nil {
			t.Fatal(err)
		}
		return audit.Trail{DB: db, Ring: ring}.Read(t.Context(), audit.Filter{}, cursor, 1)
	}
	for range 3 {
		if err := audit.Record(t.Context(), db, audit.Event{Action: "test.row"}); err != nil {
			t.Fatal(err)
		}
	}
	first, cursor, err := read(old, nil)
	if err != nil || cursor == nil {
		t.Fatalf("the first page: %v", err)
	}
	again, another, err := read(old, nil)
	if err != nil || again[0].ID != first[0].ID || *another == *cursor {
		t.Errorf("two cursors of one position are equal: %v", err)
	}
	second, _, err := read(next+","+old, cursor)
	if err != nil || second[0].ID != first[0].ID-1 {
		t.Errorf("after the rotation: %v, %v", second, err)
	}
	if _, _, err := read(next, cursor); err != audit.ErrCursor {
		t.Errorf("after the key was removed: %v, want ErrCursor", err)
	}
}

func TestProxyKeyEventsBelongToItsInstance(t *testing.T) {
	t.Parallel()
	db := storetest.Postgres(t).Open(t, schema.RolePinAdmin)
	instance := uuid.New()
	ctx := caller.NewContext(t.Context(), caller.Caller{Kind: caller.ProxyKey, ID: uuid.New(), InstanceID: instance})
	if err := audit.Record(ctx, db, audit.Event{Action: "pin.set"}); err != nil {
		t.Fatal(err)
	}
	found, _, err := audit.Trail{DB: db}.Read(ctx, audit.Filter{InstanceID: &instance}, nil, 10)
	if err != nil || len(found) != 1 {
		t.Errorf("%d rows of the instance, %v, want 1", len(found), err)
	}
}
