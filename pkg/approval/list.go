package approval

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/countersign/countersign/pkg/page"
)

// Listed is an approval as an admin reads it.
type Listed struct {
	Asked
	CustomerEmail string `db:"customer_email"`
}

const (
	listedColumns = askedColumns + `, c.email as customer_email`
	listedFrom    = `(select ` + listedColumns + ` from ` + askedFrom + `) listed`
)

// Filter selects approvals. A nil field selects all.
type Filter struct {
	CustomerID, InstanceID *uuid.UUID
	Status                 *Status
	// Skill is compared without regard to the case of ASCII letters.
	Skill *string
	// Since is inclusive, Until is exclusive. Both are compared with the time of the request.
	Since, Until *time.Time
}

// List returns one page of the approvals, newest first.
func List(ctx context.Context, db *sqlx.DB, f Filter, p page.Page) (page.Of[Listed], error) {
	var conditions []string
	var args []any
	add := func(condition string, value any) {
		args = append(args, value)
		conditions = append(conditions, fmt.Sprintf(condition, len(args)))
	}
	if f.CustomerID != nil {
		add(`customer_id = $%d`, *f.CustomerID)
	}
	if f.InstanceID != nil {
		add(`instance_id = $%d`, *f.InstanceID)
	}
	if f.Status != nil {
		add(`status = $%d`, *f.Status)
	}
	if f.Skill != nil {
		add(`lower(skill collate "C") = lower($%d collate "C")`, *f.Skill)
	}
	if f.Since != nil {
		add(`created_at >= $%d`, *f.Since)
	}
	if f.Until != nil {
		add(`created_at < $%d`, *f.Until)
	}
	return page.Read[Listed](ctx, db, page.List{
		Columns: `*`, Table: listedFrom, Where: strings.Join(conditions, ` and `), Args: args,
	}, p)
}

// Find returns one approval for an admin, or ErrNotFound.
func Find(ctx context.Context, db sqlx.QueryerContext, id uuid.UUID) (Listed, error) {
	var l Listed
	err := sqlx.GetContext(ctx, db, &l, `select `+listedColumns+` from `+askedFrom+` where a.id = $1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return Listed{}, ErrNotFound
	}
	if err != nil {
		return Listed{}, fmt.Errorf("reading an approval: %w", err)
	}
	return l, nil
}
