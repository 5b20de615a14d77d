package audit

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/fault"
	"github.com/countersign/countersign/pkg/keyring"
)

// ErrCursor says that a cursor was not issued by this package, or was changed.
var ErrCursor = fault.New(fault.Invalid, "cursor_invalid", "The cursor is invalid").About("cursor")

// Trail reads the audit trail. Ring encrypts the cursors, so that a client can neither read nor invent a cursor.
type Trail struct {
	DB   *sqlx.DB
	Ring *keyring.Ring
}

// Entry is one row of the trail.
type Entry struct {
	ID         int64           `db:"id"`
	At         time.Time       `db:"at"`
	ActorKind  string          `db:"actor_kind"`
	ActorID    *uuid.UUID      `db:"actor_id"`
	Action     string          `db:"action"`
	CustomerID *uuid.UUID      `db:"customer_id"`
	IdentityID *uuid.UUID      `db:"identity_id"`
	InstanceID *uuid.UUID      `db:"instance_id"`
	TargetID   *uuid.UUID      `db:"target_id"`
	RequestID  string          `db:"request_id"`
	Address    string          `db:"address"`
	Details    json.RawMessage `db:"details"`
}

// Filter selects rows. A nil field selects all rows.
type Filter struct {
	CustomerID, InstanceID *uuid.UUID
	Action                 *string
	// Since is inclusive, Until is exclusive.
	Since, Until *time.Time
}

// Read returns up to limit rows, newest first, and a cursor for the next older rows. The cursor is nil if there are no older
// rows. New rows do not change the rows after a cursor. The error may be ErrCursor.
func (t Trail) Read(ctx context.Context, f Filter, cursor *string, limit int) ([]Entry, *string, error) {
	var after position
	if cursor != nil {
		var err error
		if after, err = t.openCursor(*cursor); err != nil {
			return nil, nil, err
		}
	}
	// "at <= $6" follows from the comparison of rows, but only it lets Postgres skip the partitions of later months.
	const q = `
		select id, at, actor_kind, actor_id, action, customer_id, identity_id, instance_id, target_id, request_id, address, details
		  from audit
		 where ($1::uuid is null or customer_id = $1) and ($2::uuid is null or instance_id = $2) and ($3::text is null or action = $3)
		   and ($4::timestamptz is null or at >= $4) and ($5::timestamptz is null or at < $5)
		   and ($6::timestamptz is null or at <= $6 and (at, id) < ($6, $7))
		 order by at desc, id desc
		 limit $8`
	entries := []Entry{}
	err := t.DB.SelectContext(ctx, &entries, q, f.CustomerID, f.InstanceID, f.Action, f.Since, f.Until, after.at, after.id, limit+1)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the audit trail: %w", err)
	}
	if len(entries) <= limit {
		return entries, nil, nil
	}
	entries = entries[:limit]
	next, err := t.sealCursor(entries[limit-1])
	if err != nil {
		return nil, nil, err
	}
	return entries, &next, nil
}

// position is the last row of a page. The zero position is before the newest row.
type position struct {
	at *time.Time
	id int64
}

// sealCursor encrypts a row's time in microseconds (the precision of Postgres) and its id.
func (t Trail) sealCursor(last Entry) (string, error) {
	plain := binary.BigEndian.AppendUint64(nil, uint64(last.At.UnixMicro()))
	plain = binary.BigEndian.AppendUint64(plain, uint64(last.ID))
	sealed, err := t.Ring.Seal(keyring.AuditCursor, "", plain)
	if err != nil {
		return "", fmt.Errorf("sealing a cursor: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// openCursor decrypts a cursor. It returns ErrCursor if it cannot decrypt the cursor.
func (t Trail) openCursor(cursor string) (position, error) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || strings.ContainsAny(cursor, "\r\n") { // the decoder ignores line breaks
		return position{}, ErrCursor
	}
	plain, err := t.Ring.Open(keyring.AuditCursor, "", sealed)
	if err != nil || len(plain) != 16 {
		return position{}, ErrCursor
	}
	at := time.UnixMicro(int64(binary.BigEndian.Uint64(plain))).UTC()
	return position{&at, int64(binary.BigEndian.Uint64(plain[8:]))}, nil
}
